"""The results of a program of the user's own in a store, under real launchers."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.contract.reports import PROGRESS_PATH
from tests.lmtrainer.launch.conftest import StartedNode, Starter
from tests.rows.sinks.looks import MANIFEST, PREFIX, RUN, URL, assert_whole, keys
from tests.rows.sinks.objectstore import Request, Server

pytestmark = pytest.mark.slow

PROGRAM = """
import json, os, pathlib
out, rank = pathlib.Path(os.environ["LMJOB_OUTPUT"]), os.environ["RANK"]
with (out / "starts.txt").open("a") as file:
    file.write(os.environ["LMJOB_ATTEMPT"] + " " + rank + chr(10))
place = out / "checkpoint-5" / f"rank-{rank}"
place.mkdir(parents=True)
(place / "weights.bin").write_bytes(bytes(1000))
if rank == "0":
    os.symlink("nowhere", os.fsencode(out) + b"/odd\\xff")
    line = {"step": 5, "total": 5, "checkpoint": 5}
    print(json.dumps(line), file=open(os.environ["LMJOB_PROGRESS"], "a"))
"""
WRITTEN = {"starts.txt", *(f"checkpoint-5/rank-{rank}/weights.bin" for rank in (0, 1))}
COPIED = {*WRITTEN, "configuration.json"}
WEIGHTS = f"{PREFIX}checkpoint-5/rank-0/weights.bin"


class Job:
    """Attempts of one job on two nodes, each started as the job starts it."""

    def __init__(self, folder: Path, starter: Starter) -> None:
        self.output = folder / "out"
        self._starter = starter
        self._program = folder / "program.py"
        self._program.write_text(textwrap.dedent(PROGRAM))
        self._attempt = 0

    def leader(self, **fields: Any) -> StartedNode:
        self._attempt += 1
        return self._node(**fields)

    def follower(self, leader: StartedNode) -> StartedNode:
        leader.get("/healthz")
        assert leader.announcement is not None
        return self._node(node_rank=1, master_port=leader.announcement.master_port)

    def _node(self, **fields: Any) -> StartedNode:
        command = [sys.executable, str(self._program)]
        shared: dict[str, Any] = {"output": self.output, "copy_to": URL, "nnodes": 2}
        return self._starter.program(command, **{**shared, "attempt": self._attempt, **fields})

    @property
    def starts(self) -> list[str]:
        path = self.output / "starts.txt"
        return sorted(path.read_text().split("\n")[:-1]) if path.exists() else []

    @property
    def recorded(self) -> bool:
        return (self.output / "records/train.json").exists()


@pytest.fixture
def job(store: Any, tmp_path: Path) -> Iterator[Job]:
    starter = Starter(tmp_path)
    yield Job(tmp_path, starter)
    starter.end()


class Held:
    """Keeps the store from answering a request until it is let go."""

    def __init__(self, server: Server, wanted: Request) -> None:
        self.came = threading.Event()
        self._server, self._wanted, self._go_on = server, wanted, threading.Event()
        server.rule = self._rule

    def _rule(self, request: Request) -> str | None:
        if request == self._wanted:
            self.came.set()
            self._go_on.wait(60)
            return "500 InternalError"
        return None

    def release(self) -> None:
        self._go_on.set()
        self._server.rule = lambda request: None


def test_it_is_copied_whole_before_the_job_is_done(job: Job, store: Any, server: Server) -> None:
    begun = []

    def look(request: Request) -> None:
        if request[0] == "PUT":
            begun.append((request[1], bool(job.starts), job.recorded))

    server.rule = look
    leader = job.leader()
    follower = job.follower(leader)
    words = [node.end() for node in (leader, follower)]
    assert [word.exit_type for word in words] == ["SUCCEEDED", "SUCCEEDED"], leader.output
    assert words[0].completion is not None
    assert words[0].durable is not None, "what it had told of its checkpoints is not lost"
    assert job.starts == ["1 0", "1 1"]
    assert job.recorded
    assert r'no files of the folder: "odd\udcff"' in leader.output
    assert begun[0] == (RUN, False, False), "the place is taken before the program starts"
    assert begun[-1] == (MANIFEST, True, False), "there is a record when all is proven"
    assert_whole(store, COPIED)
    assert keys(store) == sorted(PREFIX + name for name in {*COPIED, "run.json", "manifest.json"})


def test_a_copy_that_fails_or_is_killed_goes_on_and_the_program_does_not_run_again(
    job: Job, store: Any, server: Server
) -> None:
    def refuse(request: Request) -> str | None:
        return "403 AccessDenied" if request == ("PUT", WEIGHTS) else None

    server.rule = refuse
    leader = job.leader()
    follower = job.follower(leader)
    word = leader.end()
    assert follower.end().exit_type == "SUCCEEDED"
    assert word.exit_type == "USER_ERROR"
    assert f"output.copyTo: {URL}: is not allowed" in word.failure.message
    assert word.completion is None
    assert not job.recorded

    held = Held(server, ("PUT", MANIFEST))
    leader = job.leader()
    assert held.came.wait(30), leader.output
    assert leader.get("/readyz")[0] == 200, "else the job would take it for one that hangs"
    assert job.follower(leader).end().exit_type == "SUCCEEDED", "there is nothing left to start"
    told = json.loads(leader.get(PROGRESS_PATH)[1])
    assert (told["activity"], told["unit"]) == ("copy results", "bytes")
    assert told["done"] == told["total"] > 0
    os.kill(leader.process.pid, signal.SIGKILL)
    leader.process.wait()
    held.release()
    assert not job.recorded
    assert MANIFEST not in keys(store)

    server.sent()
    leader = job.leader()
    word = leader.end()
    assert word.exit_type == "SUCCEEDED", leader.output
    assert word.completion is not None
    assert server.sent() == [MANIFEST]
    assert job.starts == ["1 0", "1 1"]
    assert_whole(store, COPIED)


def test_who_is_asked_to_end_ends_while_results_are_copied(job: Job, server: Server) -> None:
    held = Held(server, ("PUT", WEIGHTS))
    leader = job.leader(nnodes=1)
    assert held.came.wait(30), leader.output
    leader.process.send_signal(signal.SIGTERM)
    assert leader.end(5).exit_type == "INTERRUPTED"
    held.release()
    assert not job.recorded
    assert job.leader(nnodes=1).end().exit_type == "SUCCEEDED"
    assert job.starts == ["1 0"]


def test_what_was_recorded_and_not_told_is_told_by_the_next_attempt(job: Job) -> None:
    assert job.leader(nnodes=1, copy_to=None).end().completion is not None
    word = job.leader(nnodes=1, copy_to=None).end()
    assert word.exit_type == "SUCCEEDED"
    assert word.completion is not None
    assert job.starts == ["1 0"]


def test_a_bucket_that_is_not_there_is_told_before_the_program_starts(job: Job, store: Any) -> None:
    leader = job.leader(copy_to="s3://nowhere/mine")
    follower = job.follower(leader)
    word = leader.end()
    assert word.exit_type == "USER_ERROR"
    assert "output.copyTo: s3://nowhere/mine: there is no such bucket" in word.failure.message
    follower.process.send_signal(signal.SIGTERM)
    follower.end()
    assert job.starts == [], "no node starts before the leader's word"
