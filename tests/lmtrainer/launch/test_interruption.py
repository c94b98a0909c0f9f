"""Signals: what is asked of the ranks, how long they get, and that nothing outlives its parent."""

import os
import signal
import sys
import time

import pytest

STUBBORN = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(os.environ["LMTRAINER_NODE_DIR"])
rank = os.environ["RANK"]
def note(number, frame):
    with (folder / f"signals-{rank}").open("a") as file:
        file.write(f"{number}\\n")
signal.signal(signal.SIGTERM, note)
signal.signal(signal.SIGINT, note)
(folder / f"pid-{rank}.tmp").write_text(str(os.getpid()))
(folder / f"pid-{rank}.tmp").rename(folder / f"pid-{rank}")
while not (folder / f"leave-{rank}").exists():
    time.sleep(0.01)
"""

PATIENT = """
import os, pathlib, time
from lmtrainer.faults import InterruptedRunError
def run(context):
    folder = pathlib.Path(context.node.node_dir)
    (folder / f"pid-{context.rank}").write_text(str(os.getpid()))
    while not context.stop.requested:
        time.sleep(0.01)
    time.sleep(0.3)
    (folder / f"saved-{context.rank}").write_text("saved")
    raise InterruptedRunError("saved at step 5")
"""

ENDS = """
import pathlib, time
from lmtrainer.contract.reports import Completion
from lmtrainer.faults import InterruptedRunError
def run(context):
    (pathlib.Path(context.node.node_dir) / f"pid-{context.rank}").write_text("1")
    while not context.stop.requested:
        time.sleep(0.01)
    context.reports.completion(Completion(manifest_sha256="ab"))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_ranks_save_and_ends_as_interrupted(start_node, number):
    node = start_node(PATIENT, as_stage=True, nproc_per_node=2)
    node.file("pid-0"), node.file("pid-1")
    node.process.send_signal(number)
    word = node.end()
    assert (word.exit_type, node.code) == ("INTERRUPTED", 75)
    assert node.file("saved-0") == node.file("saved-1") == "saved"


def test_a_rank_that_does_not_end_is_killed_after_the_grace_period_and_named(start_node, runs):
    node = start_node(STUBBORN, grace_seconds=0.5)
    pid = int(node.file("pid-0"))
    begun = time.monotonic()
    node.process.terminate()
    word = node.end()
    assert 0.5 <= time.monotonic() - begun < 4
    assert not runs(pid)
    assert word.exit_type == "INTERRUPTED"
    assert "still running 0.5 s after SIGTERM and was killed" in word.failure.message
    assert word.failure.signal == 9


def test_a_second_signal_neither_repeats_nor_shortens_the_end(start_node, wait_for):
    node = start_node(STUBBORN, grace_seconds=20)
    node.file("pid-0")
    node.process.terminate()
    node.file("signals-0")
    node.process.terminate()
    node.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert node.process.poll() is None
    (node.folder / "leave-0").touch()
    assert node.end().exit_type == "INTERRUPTED"
    assert node.file("signals-0") == f"{int(signal.SIGTERM)}\n"


def test_ctrl_c_in_a_terminal_reaches_the_ranks_through_the_launcher_only(start_node):
    """A terminal sends SIGINT to every process of the group in front."""
    node = start_node(STUBBORN)
    node.file("pid-0")
    os.killpg(node.process.pid, signal.SIGINT)
    node.file("signals-0")
    (node.folder / "leave-0").touch()
    assert node.end().exit_type == "INTERRUPTED"
    assert node.file("signals-0") == f"{int(signal.SIGTERM)}\n"


def test_exit_0_after_a_signal_is_an_interruption_without_a_proof_and_a_success_with_one(
    start_node,
):
    for script, as_stage, expected in ((STUBBORN, False, "INTERRUPTED"), (ENDS, True, "SUCCEEDED")):
        node = start_node(script, as_stage=as_stage)
        node.file("pid-0")
        node.process.terminate()
        (node.folder / "leave-0").touch()
        assert node.end().exit_type == expected


def test_a_worker_that_waits_for_its_master_obeys_a_signal(start_node):
    node = start_node("pass", nnodes=2, node_rank=1, master_port=1, rendezvous_seconds=60)
    node.get("/healthz")
    node.process.terminate()
    assert node.end(15).exit_type == "INTERRUPTED"


@pytest.mark.slow
def test_a_rank_that_was_asked_to_end_from_elsewhere_leaves_rank_0_its_grace(start_node):
    """Ranks agree to stop when another node gets a signal; rank 0 then saves, for longer than the
    ranks that are left get after a failure."""
    node = start_node(
        """
        import pathlib, time
        from lmtrainer.faults import InterruptedRunError
        def run(context):
            if context.rank == 0:
                time.sleep(11)
                pathlib.Path(context.node.node_dir, "saved-0").write_text("saved")
            raise InterruptedRunError("saved at step 5")
        """,
        as_stage=True,
        nproc_per_node=2,
        grace_seconds=30,
    )
    assert node.end(40).exit_type == "INTERRUPTED"
    assert node.file("saved-0") == "saved"


def test_ranks_die_with_a_launcher_that_is_killed(start_node, runs, wait_for):
    node = start_node(PATIENT, as_stage=True, nproc_per_node=2)
    pids = [int(node.file(f"pid-{rank}")) for rank in range(2)]
    assert all(runs(pid) for pid in pids)
    node.process.kill()
    wait_for(lambda: not any(runs(pid) for pid in pids), 5)


def test_a_launcher_dies_with_its_parent_if_it_is_told_to(start_node, runs, wait_for):
    """The parent here is a small process between this test and the launcher."""
    between = (
        sys.executable,
        "-c",
        "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))",
    )
    tied = start_node(
        PATIENT, as_stage=True, before=between, env={"LMTRAINER_DIE_WITH_PARENT": "1"}
    )
    free = start_node(PATIENT, as_stage=True, before=between)
    pids = {}
    for node in (tied, free):
        pids[node] = [int(node.file("pid-0")), node.announcement.pid]
        assert node.announcement.pid != node.process.pid
        node.process.kill()
    wait_for(lambda: not any(runs(pid) for pid in pids[tied]), 5)
    assert all(runs(pid) for pid in pids[free])


def test_process_1_takes_the_exit_status_of_orphans(start_node, wait_for):
    """A rank's helper starts a process and goes away: the kernel gives it to process 1."""
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if os.system(" ".join([*unshare, "true"])) != 0:
        pytest.skip("this machine does not let us make a process namespace")
    node = start_node(
        """
        import os, pathlib, subprocess, sys, time
        orphan = "import subprocess; subprocess.Popen(['sh', '-c', 'exec sleep 0.1'])"
        subprocess.run([sys.executable, "-c", orphan])
        time.sleep(0.5)
        states = [p.read_text().split()[1:4] for p in pathlib.Path("/proc").glob("[0-9]*/stat")]
        zombies = [name for name, state, parent in states if state == "Z" and parent == "1"]
        found = pathlib.Path(os.environ["LMTRAINER_NODE_DIR"], "zombies")
        found.write_text(f"{len(states)} {zombies}")
        """,
        before=unshare,
    )
    node.end()
    assert node.announcement.pid == 1
    assert node.file("zombies") == "2 []"
