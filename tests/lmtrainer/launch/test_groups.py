"""Several launchers as the nodes of a group: the gate, the fence, and how an end spreads."""

import os
import signal
import socket
import time

import pytest

pytestmark = pytest.mark.slow

WAITS = """
import os, pathlib, time
pathlib.Path(os.environ["LMTRAINER_NODE_DIR"], "started").write_text(str(os.getpid()))
while not pathlib.Path(os.environ["LMTRAINER_NODE_DIR"], "leave").exists():
    time.sleep(0.02)
"""

# Ranks that exchange numbers until each has seen the number of rounds it was to see.
EXCHANGES = """
import os, pathlib, time
import torch
from lmtrainer.contract.reports import Completion
from lmtrainer.faults import InterruptedRunError
from lmtrainer.parallel import world as worlds
worlds.SILENT_PEER_SECONDS = 3.0
def run(context):
    torch.set_num_threads(1)
    world = worlds.join(context)
    folder = pathlib.Path(context.node.node_dir)
    for step in range(ROUNDS):
        total = torch.tensor([float(world.rank), float(context.stop.requested)])
        torch.distributed.all_reduce(total)
        (folder / f"total-{world.rank}").write_text(str(int(total[0])))
        (folder / f"pid-{world.rank}").write_text(str(os.getpid()))
        if total[1]:
            raise InterruptedRunError("saved")
        time.sleep(0.02)
    worlds.leave(world)
    context.reports.completion(Completion(manifest_sha256="ab"))
"""
FEW, MANY = EXCHANGES.replace("ROUNDS", "3"), EXCHANGES.replace("ROUNDS", "100_000")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def start_pair(start_node, script, **fields):
    """A master and a worker that was given the port that the master announced."""
    master = start_node(script, as_stage=True, nnodes=2, **fields)
    master.get("/healthz")
    port = master.announcement.master_port
    worker = start_node(script, as_stage=True, nnodes=2, node_rank=1, master_port=port, **fields)
    return master, worker


def test_a_master_is_ready_only_after_its_store_answered(start_node, wait_for):
    master = start_node(WAITS, nnodes=2)
    status, why = master.get("/readyz")
    assert status == 503
    assert (
        f"no handshake with the rendezvous store at 127.0.0.1:{master.announcement.master_port}"
        in why
    )
    wait_for(lambda: master.get("/readyz") == (200, "ready\n"))


def test_nodes_form_one_group_and_the_stage_succeeds(start_node):
    master, worker = start_pair(start_node, FEW, nproc_per_node=2)
    assert master.end(60).exit_type == "SUCCEEDED"
    assert worker.end().exit_type == "SUCCEEDED"
    totals = [node.file(f"total-{r}") for node, r in ((master, 0), (master, 1), (worker, 2))]
    assert totals == ["6", "6", "6"]


def test_row_086_a_worker_that_was_first_starts_no_rank_before_its_masters_store_answers(
    start_node,
):
    port = free_port()
    worker = start_node(WAITS, nnodes=2, node_rank=1, master_port=port)
    time.sleep(4)
    assert not (worker.folder / "started").exists()
    assert worker.get("/readyz")[0] == 503
    start_node(WAITS, nnodes=2, master_port=port)
    worker.file("started")
    assert worker.get("/readyz")[0] == 200


@pytest.mark.parametrize(
    ("fields", "named"),
    [({"attempt": 1}, "job job-a attempt 1"), ({"job_uid": "job-b"}, "job job-b attempt 2")],
    ids=["old attempt", "other job"],
)
def test_a_node_of_another_attempt_or_job_is_refused_by_name(start_node, fields, named):
    master = start_node(WAITS, nnodes=2, attempt=2)
    master.get("/healthz")
    told = {"attempt": 2, **fields}
    port = master.announcement.master_port
    stale = start_node(WAITS, nnodes=2, node_rank=1, master_port=port, **told)
    word = stale.end()
    assert word.exit_type == "FENCED"
    assert named in word.failure.message
    assert "job job-a attempt 2" in word.failure.message
    assert not (stale.folder / "started").exists()
    assert master.get("/readyz")[0] == 200


def test_a_second_node_with_the_same_rank_is_refused_and_the_first_goes_on(start_node):
    master = start_node(WAITS, nnodes=2)
    master.get("/healthz")
    place = {"nnodes": 2, "node_rank": 1, "master_port": master.announcement.master_port}
    first = start_node(WAITS, **place)
    first.file("started")
    second = start_node(WAITS, **place)
    word = second.end()
    assert word.exit_type == "FENCED"
    assert "already joined this attempt as node rank 1" in word.failure.message
    assert not (second.folder / "started").exists()
    assert first.process.poll() is None


def test_a_master_that_never_comes_ends_the_wait_in_time_and_is_named(start_node):
    port = free_port()
    word = start_node(WAITS, nnodes=2, node_rank=1, master_port=port, rendezvous_seconds=3).end(15)
    assert word.exit_type == "RENDEZVOUS_FAILED"
    assert f"no rendezvous store at 127.0.0.1:{port} within 3 s" in word.failure.message


def test_a_master_that_accepts_and_is_silent_ends_the_wait_in_time(start_node):
    """As a stopped process does: its kernel goes on accepting. torch would wait for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        word = start_node(WAITS, nnodes=2, node_rank=1, master_port=port, rendezvous_seconds=3).end(
            15
        )
    assert word.exit_type == "RENDEZVOUS_FAILED"
    assert f"no answer from the rendezvous store at 127.0.0.1:{port}" in word.failure.message


def test_ranks_that_do_not_come_are_named(start_node):
    master = start_node(FEW, as_stage=True, nnodes=3, rendezvous_seconds=5)
    word = master.end(30)
    assert word.exit_type == "RENDEZVOUS_FAILED"
    assert "2 of 3 ranks did not join within" in word.failure.message
    assert word.failure.message.endswith(": 1, 2")


def test_a_rank_that_waits_for_the_others_obeys_a_signal(start_node):
    master = start_node(FEW, as_stage=True, nnodes=2, rendezvous_seconds=60, grace_seconds=30)
    time.sleep(4)
    master.process.terminate()
    assert master.end(20).exit_type == "INTERRUPTED"


def test_a_signal_to_one_node_ends_both_as_interrupted(start_node):
    master, worker = start_pair(start_node, MANY)
    worker.file("pid-1", 60)
    worker.process.terminate()
    assert worker.end().exit_type == "INTERRUPTED"
    assert master.end().exit_type == "INTERRUPTED"


def test_the_death_of_a_rank_is_killed_on_its_node_and_a_lost_peer_on_the_other(start_node):
    master, worker = start_pair(start_node, MANY)
    os.kill(int(worker.file("pid-1", 60)), signal.SIGKILL)
    word = worker.end()
    assert (word.exit_type, word.failure.signal) == ("KILLED", 9)
    assert master.end().exit_type == "PEER_LOST"


def test_the_death_of_the_master_node_ends_the_other_as_a_lost_peer(start_node, runs, wait_for):
    master, worker = start_pair(start_node, MANY)
    rank = int(master.file("pid-0", 60))
    worker.file("pid-1", 60)
    master.process.kill()
    assert worker.end().exit_type == "PEER_LOST"
    wait_for(lambda: not runs(rank), 5)


def test_a_silent_peer_is_found_after_the_time_that_exchanges_may_take(start_node):
    master, worker = start_pair(start_node, MANY)
    os.kill(int(worker.file("pid-1", 60)), signal.SIGSTOP)
    begun = time.monotonic()
    assert master.end(20).exit_type == "PEER_LOST"
    assert 2 < time.monotonic() - begun < 15
    assert worker.process.poll() is None, "its rank is stopped: the operator ends it"
    assert worker.get("/healthz")[0] == 200
