"""A program of the user's own under a real launcher: start, proof, ends of every kind, fence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import PROGRESS_PATH

pytestmark = pytest.mark.slow


def script(folder: Path, text: str) -> list[str]:
    path = folder / "program.py"
    path.write_text(textwrap.dedent(text))
    return [sys.executable, str(path)]


WAITS = """
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    open(os.path.join(os.environ["LMJOB_OUTPUT"], "begun"), "w").write("x")
    time.sleep(60)
"""


def test_it_is_done_when_every_process_of_every_node_is(start_node: Any, tmp_path: Path) -> None:
    program = script(
        tmp_path,
        """
        import json, os, sys, time
        rank = int(os.environ["RANK"])
        if rank == 3:
            time.sleep(1.0)
        told = {k: os.environ[k] for k in ("LMJOB_ATTEMPT", "WORLD_SIZE", "MASTER_PORT")}
        told["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
        place = os.path.join(os.environ["LMJOB_OUTPUT"], f"rank-{rank}.json")
        open(place, "w").write(json.dumps([told, sys.argv[1:]]))
        if rank == 0:
            print(json.dumps({"step": 5, "total": 5}), file=open(os.environ["LMJOB_PROGRESS"], "a"))
        """,
    )
    output = tmp_path / "out"
    shared = {"output": output, "attempt": 4, "nnodes": 2, "nproc_per_node": 2}
    master = start_node.program([*program, "$(HOME)"], **shared)
    master.get("/healthz")
    port = master.announcement.master_port
    worker = start_node.program([*program, "$(HOME)"], **shared, node_rank=1, master_port=port)
    words = [node.end() for node in (master, worker)]
    assert [word.exit_type for word in words] == ["SUCCEEDED", "SUCCEEDED"], master.output
    record = words[0].completion
    assert record is not None and record.proves_success
    assert words[1].completion is None, "the leader alone proves"
    assert words[0].durable is None
    assert json.loads((output / "records/train.json").read_text())["attempt"] == 4
    ends = [(output / name).stat().st_mtime for name in ("rank-3.json", "records/train.json")]
    assert ends[0] < ends[1], "the record comes when the last process of any node is done"
    found = [json.loads((output / f"rank-{rank}.json").read_text()) for rank in range(4)]
    expected = {"LMJOB_ATTEMPT": "4", "WORLD_SIZE": "4", "OMP_NUM_THREADS": "1"}
    assert found == [[{**expected, "MASTER_PORT": str(port)}, ["$(HOME)"]]] * 4


@pytest.mark.parametrize(
    ("code", "exit_type"),
    [(3, ExitType.FAILED), (65, ExitType.USER_ERROR)],
)
def test_its_exit_code_says_whether_another_attempt_may_help(
    start_node: Any, tmp_path: Path, code: int, exit_type: ExitType
) -> None:
    node = start_node.program(script(tmp_path, f"raise SystemExit({code})"), output=tmp_path / "o")
    word = node.end()
    assert word.exit_type == exit_type.name
    assert node.code == exit_type.code
    assert word.completion is None
    assert not (tmp_path / "o/records/train.json").exists()
    assert f"exited with code {code}" in word.failure.message


def test_a_program_that_cannot_be_started_is_the_users_mistake(
    start_node: Any, tmp_path: Path
) -> None:
    word = start_node.program(["no-such-program"], output=tmp_path / "o").end()
    assert word.exit_type == "USER_ERROR"
    assert "'no-such-program' cannot be started here" in word.failure.message


def test_asked_to_end_it_may_save_and_is_not_done(
    start_node: Any, tmp_path: Path, wait_for: Any
) -> None:
    output = tmp_path / "o"
    node = start_node.program(script(tmp_path, WAITS), output=output)
    wait_for(lambda: (output / "begun").exists())
    node.process.send_signal(signal.SIGTERM)
    word = node.end()
    assert word.exit_type == "INTERRUPTED", "its exit code was 0"
    assert word.completion is None


TELLS_AND_WAITS = """
    import json, os, time
    if os.environ["RANK"] == "0":
        time.sleep(2.0)
        with open(os.environ["LMJOB_PROGRESS"], "a") as file:
            print(json.dumps({"step": 7, "total": 90}), file=file, flush=True)
    time.sleep(60)
"""


def test_silent_for_too_long_after_it_told_of_its_progress_it_hangs(
    start_node: Any, tmp_path: Path
) -> None:
    program = script(tmp_path, TELLS_AND_WAITS)
    node = start_node.program(program, output=tmp_path / "o", hang_seconds=1, nproc_per_node=2)
    word = node.end()
    assert word.exit_type == "HUNG"
    assert "no line of progress for" in word.failure.message
    assert "after step 7" in word.failure.message
    assert not start_node.pids()


def test_who_never_told_of_progress_may_be_silent(start_node: Any, tmp_path: Path) -> None:
    program = script(tmp_path, "import time; time.sleep(3)")
    word = start_node.program(program, output=tmp_path / "o", hang_seconds=1).end()
    assert word.exit_type == "SUCCEEDED"


STUBBORN = """
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(os.path.join(os.environ["LMJOB_OUTPUT"], "begun"), "w").write("x")
    time.sleep(60)
"""


def test_one_that_does_not_end_is_killed_after_the_grace_period(
    start_node: Any, tmp_path: Path, wait_for: Any
) -> None:
    """It has not said where it stands, and must not be asked: the signal would be its end."""
    output = tmp_path / "o"
    node = start_node.program(script(tmp_path, STUBBORN), output=output, grace_seconds=0.5)
    wait_for(lambda: (output / "begun").exists())
    node.process.send_signal(signal.SIGTERM)
    word = node.end()
    assert word.exit_type == "INTERRUPTED"
    assert "still running 0.5 s after SIGTERM and was killed" in word.failure.message
    assert word.failure.signal == signal.SIGKILL


def test_a_newer_attempt_ends_it(start_node: Any, tmp_path: Path, wait_for: Any) -> None:
    output = tmp_path / "o"
    node = start_node.program(script(tmp_path, WAITS), output=output)
    wait_for(lambda: (output / "begun").exists())
    run = json.loads((output / "run.json").read_text())
    (output / "run.json").write_text(json.dumps({**run, "attempt": 2}))
    word = node.end()
    assert word.exit_type == "FENCED"
    assert "attempt 2" in word.failure.message
    assert not start_node.pids()


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP])
def test_a_node_that_cannot_tell_of_its_end_is_not_done(
    start_node: Any, tmp_path: Path, wait_for: Any, way: signal.Signals
) -> None:
    """The leader's machine is gone, or its network: it would wait for that word for ever."""
    program = script(
        tmp_path,
        """
        import os, time
        place = os.path.join(os.environ["LMJOB_OUTPUT"], os.environ["RANK"])
        open(place, "w").write("x")
        while os.environ["RANK"] == "0" or not os.path.exists(place + ".leave"):
            time.sleep(0.01)
        """,
    )
    shared = {"output": tmp_path / "o", "nnodes": 2, "rendezvous_seconds": 6.0}
    master = start_node.program(program, **shared)
    master.get("/healthz")
    port = master.announcement.master_port
    worker = start_node.program(program, **shared, node_rank=1, master_port=port)
    wait_for(lambda: (tmp_path / "o/1").exists())
    os.kill(master.process.pid, way)
    stat = Path(f"/proc/{master.process.pid}/stat")
    wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] in "TZ")
    (tmp_path / "o/1.leave").touch()
    word = worker.end()
    assert word.exit_type == "RENDEZVOUS_FAILED"
    assert not (tmp_path / "o/records/train.json").exists()


SILENT_LEADER = """
import sys, time
from lmtrainer.launch.sockets import listen
from lmtrainer.parallel.rendezvous import Fence, claim_node, nodes_here, open_store
listener = listen("127.0.0.1", 0, purpose="master port")
print(listener.getsockname()[1], flush=True)
store = open_store(listener, Fence("job-a", 1))
claim_node(store, 0, "leader")
while nodes_here(store, 2) < 2:
    time.sleep(0.01)
print("joined", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP])
def test_a_node_that_cannot_hear_the_leaders_word_does_not_wait_for_ever(
    start_node: Any, tmp_path: Path, way: signal.Signals
) -> None:
    command = [sys.executable, "-c", SILENT_LEADER]
    leader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert leader.stdout is not None
    try:
        node = start_node.program(
            script(tmp_path, WAITS),
            output=tmp_path / "o",
            nnodes=2,
            node_rank=1,
            master_port=int(leader.stdout.readline()),
            rendezvous_seconds=6.0,
        )
        assert leader.stdout.readline() == "joined\n"
        leader.send_signal(way)
        word = node.end()
    finally:
        leader.kill()
        leader.communicate()
    assert word.exit_type == "RENDEZVOUS_FAILED"
    assert not (tmp_path / "o").exists(), "it has not started"


def test_nothing_starts_in_a_folder_of_another_run(start_node: Any, tmp_path: Path) -> None:
    output = tmp_path / "o"
    output.mkdir()
    (output / "thesis.txt").write_text("mine")
    word = start_node.program(script(tmp_path, WAITS), output=output).end()
    assert word.exit_type == "USER_ERROR"
    assert "no run is known to have made" in word.failure.message
    assert sorted(path.name for path in output.iterdir()) == ["thesis.txt"]


def test_a_killed_launcher_takes_its_program_along(
    start_node: Any, tmp_path: Path, wait_for: Any
) -> None:
    output = tmp_path / "o"
    node = start_node.program(script(tmp_path, WAITS), output=output)
    wait_for(lambda: (output / "begun").exists())
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
    wait_for(lambda: not start_node.pids())


def test_the_node_is_ready_with_its_program_and_tells_its_progress(
    start_node: Any, tmp_path: Path, wait_for: Any
) -> None:
    program = script(
        tmp_path,
        """
        import json, os, time
        for step in (1, 2):
            line = {"step": step, "total": 9, "loss": 2.5, "checkpoint": step}
            print(json.dumps(line), file=open(os.environ["LMJOB_PROGRESS"], "a"))
        time.sleep(60)
        """,
    )
    node = start_node.program(program, output=tmp_path / "o")
    wait_for(lambda: node.get("/readyz")[0] == 200)
    wait_for(lambda: '"done": 2' in node.get(PROGRESS_PATH)[1])
    told = json.loads(node.get(PROGRESS_PATH)[1])
    assert (told["total"], told["loss"], told["durable"]["step"]) == (9, 2.5, 2)
    node.process.send_signal(signal.SIGTERM)
    assert node.end().durable.step == 2
