"""How ranks end, and what the node says of it: real launchers, one node each."""

import json
import time

import pytest

from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import MAX_TERMINATION_BYTES, Position

COMPLETE = """
from lmtrainer.contract.reports import Completion, Position, Progress
from lmtrainer.progress import RankReports
import os
end = Position(phase_index=0, step=10, phase="main")
reports = RankReports(os.environ["LMTRAINER_NODE_DIR"], int(os.environ["RANK"]))
reports.progress(Progress(done=10, total=10, durable=end))
reports.completion(Completion(position=end, target=end, manifest_sha256="ab"))
"""


def test_a_stage_with_a_completion_record_succeeds(start_node):
    node = start_node(COMPLETE)
    word = node.end()
    assert (word.exit_type, node.code) == ("SUCCEEDED", 0)
    assert (word.job_uid, word.attempt, word.stage, word.failure) == ("job-a", 1, "train", None)
    assert word.completion.position == Position(phase_index=0, step=10, phase="main")
    assert word.durable == word.completion.position


def test_exit_0_without_a_completion_record_is_a_failure_that_says_so(start_node):
    node = start_node("pass")
    word = node.end()
    assert (word.exit_type, node.code) == ("FAILED", ExitType.FAILED.code)
    assert "every rank exited 0, but rank 0 left no completion record" in word.failure.message


def test_a_completion_record_short_of_its_target_proves_nothing(start_node):
    word = start_node(
        COMPLETE.replace("target=end", "target=Position(phase_index=1, step=0)")
    ).end()
    assert word.exit_type == "FAILED"
    assert "completion record stands at" in word.failure.message


def test_reports_of_an_earlier_attempt_in_the_folder_prove_nothing(start_node, tmp_path):
    script = COMPLETE + "\nos.system('true')"
    first = start_node(script)
    first.end()
    assert (first.folder / "completion.json").exists()
    again = start_node("pass", node_dir=str(first.folder))
    again.process.wait(20)
    word = json.loads((again.folder.parent / "node-1" / "termination").read_text())
    assert word["exitType"] == "FAILED"
    assert "no completion record" in word["failure"]["message"]


def test_an_exit_code_is_kept(start_node):
    node = start_node("import sys; sys.exit(7)")
    word = node.end()
    assert (word.exit_type, node.code) == ("FAILED", 70)
    assert (word.failure.rank, word.failure.exit_code, word.failure.signal) == (0, 7, None)
    assert "rank 0 exited with code 7" in word.failure.message


def test_death_by_a_strangers_signal_is_told_with_its_number(start_node):
    node = start_node("import os; os.kill(os.getpid(), 9)")
    word = node.end()
    assert (word.exit_type, node.code) == ("KILLED", 71)
    assert (word.failure.signal, word.failure.exit_code) == (9, None)
    assert "signal 9 (SIGKILL)" in word.failure.message


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        ("lmtrainer.faults.UserError('the text is empty')", "USER_ERROR"),
        ("lmtrainer.faults.FencedError('not yours')", "FENCED"),
        ("lmtrainer.faults.InterruptedRunError('saved')", "INTERRUPTED"),
        ("OSError(28, 'No space left on device')", "DISK_FULL"),
        ("ValueError('bad')", "FAILED"),
        (
            "RuntimeError('[x/gloo/transport/tcp/pair.cc:553] Connection closed by peer')",
            "PEER_LOST",
        ),
    ],
)
def test_an_exception_of_a_stage_becomes_its_exit_type_and_message(start_node, raised, expected):
    script = f"import lmtrainer.faults\ndef run(context): raise {raised}"
    node = start_node(script, as_stage=True)
    word = node.end()
    assert (word.exit_type, node.code) == (expected, ExitType[expected].code)
    kind = raised.partition("(")[0].rpartition(".")[2]
    assert word.failure.exception == kind
    assert word.failure.message.startswith(f"rank 0: {kind}: ")
    explained = expected in {"USER_ERROR", "FENCED", "INTERRUPTED"}
    assert ("Traceback" in node.output) is not explained


def test_a_scripts_error_file_in_the_format_of_torch_is_read(start_node):
    node = start_node(
        """
        import json, os, sys
        message = {"message": "boom", "extraInfo": {"py_callstack": "", "timestamp": "1"}}
        with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w") as file:
            json.dump({"message": message}, file)
        sys.exit(1)
        """
    )
    assert node.end().failure.message == "rank 0: boom"


def test_a_huge_error_still_fits_into_what_the_kubelet_keeps(start_node):
    script = "def run(context): raise ValueError('é\\U0001f600\\x1b[31m\\r' * 30_000)"
    node = start_node(script, as_stage=True)
    word = node.end()
    assert word.exit_type == "FAILED"
    assert "ValueError: é\U0001f600" in word.failure.message
    assert (node.folder / "termination").stat().st_size > MAX_TERMINATION_BYTES - 20
    assert (node.folder / "termination").stat().st_size <= MAX_TERMINATION_BYTES


def test_a_configuration_that_does_not_parse_is_the_users_mistake_with_every_fault_named(
    start_node,
):
    bad = {"seed": -1, "data": {"train": ["t"]}, "model": {"type": "bert"}, "phases": []}
    node = start_node("pass", config=bad)
    word = node.end()
    assert (word.exit_type, node.code) == ("USER_ERROR", 65)
    for field in ("seed", "phases", "output"):
        assert field in word.failure.message


def test_a_configuration_that_is_no_json_is_the_users_mistake(start_node):
    word = start_node("pass", config="seed: 1").end()
    assert word.exit_type == "USER_ERROR"
    assert "cannot be read as JSON" in word.failure.message


def test_a_taken_status_port_is_named(start_node):
    first = start_node("import time; time.sleep(30)")
    first.get("/healthz")
    port = first.announcement.status_port
    word = start_node("pass", status_port=port).end()
    assert word.exit_type == "RENDEZVOUS_FAILED"
    assert f"status port: cannot listen on port {port}" in word.failure.message


def test_one_failing_rank_ends_the_others_and_is_the_one_that_is_named(start_node, runs):
    node = start_node(
        """
        import os, pathlib, sys, time
        folder = pathlib.Path(os.environ["LMTRAINER_NODE_DIR"])
        (folder / f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
        if os.environ["RANK"] == "1":
            while len(list(folder.glob("pid-*"))) < 3:
                time.sleep(0.01)
            sys.exit(7)
        time.sleep(60)
        """,
        nproc_per_node=3,
    )
    begun = time.monotonic()
    word = node.end()
    assert time.monotonic() - begun < 8
    assert (word.exit_type, word.failure.rank, word.failure.exit_code) == ("FAILED", 1, 7)
    for rank in range(3):
        assert not runs(int(node.file(f"pid-{rank}")))


def test_a_rank_that_lost_its_peer_is_not_the_first_error_when_the_peer_is_here(start_node):
    """Rank 0 notices at once that rank 1 is gone, and its error file comes first."""
    node = start_node(
        """
        import os, time
        def run(context):
            mark = context.node.node_dir + "/gone"
            if context.rank == 0:
                open(mark, "w").close()
                raise RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer [x]")
            while not os.path.exists(mark):
                time.sleep(0.001)
            os.kill(os.getpid(), 11)
        """,
        as_stage=True,
        nproc_per_node=2,
    )
    word = node.end()
    assert (word.exit_type, word.failure.rank, word.failure.signal) == ("KILLED", 1, 11)


def test_helpers_that_a_rank_left_behind_are_ended(start_node, runs):
    node = start_node(
        """
        import subprocess, os, pathlib
        helper = subprocess.Popen(["sleep", "60"])
        pathlib.Path(os.environ["LMTRAINER_NODE_DIR"], "helper").write_text(str(helper.pid))
        """
    )
    helper = int(node.file("helper"))
    node.end()
    assert not runs(helper)


def test_lines_of_several_ranks_carry_their_rank_and_lines_of_one_do_not(start_node):
    script = "import os; print('hello', os.environ['RANK']); os.write(2, b'no newline at the end')"
    several = start_node(script, nproc_per_node=2)
    several.end()
    for rank in (0, 1):
        assert f"[rank {rank}] hello {rank}\n" in several.output
        assert f"[rank {rank}] no newline at the end\n" in several.output
    alone = start_node(script)
    alone.end()
    assert "hello 0\n" in alone.output
    assert "[rank" not in alone.output


def test_ranks_are_told_their_place_as_torchrun_tells_it(start_node):
    node = start_node(
        """
        import json, os, pathlib
        folder = pathlib.Path(os.environ["LMTRAINER_NODE_DIR"])
        (folder / f"env-{os.environ['RANK']}.tmp").write_text(json.dumps(dict(os.environ)))
        (folder / f"env-{os.environ['RANK']}.tmp").rename(folder / f"env-{os.environ['RANK']}")
        """,
        nproc_per_node=2,
        attempt=3,
        env={"LMTRAINER_DIE_WITH_PARENT": "1"},
    )
    env = json.loads(node.file("env-1"))
    port = node.announcement.master_port
    expected = {
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
        "ROLE_RANK": "1",
        "ROLE_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "2",
        "TORCHELASTIC_RUN_ID": "job-a-3",
        "TORCHELASTIC_ERROR_FILE": f"{node.folder}/error-1.json",
        "OMP_NUM_THREADS": "3",
    }
    assert port > 0
    assert {name: env.get(name) for name in expected} == expected
    assert "LMTRAINER_DIE_WITH_PARENT" not in env
