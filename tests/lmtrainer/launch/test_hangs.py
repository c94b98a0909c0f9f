"""A rank that does not go on is named, with the place where it stands."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from lmtrainer.faults import HungRankError, PeerLostError
from lmtrainer.launch import hang
from lmtrainer.launch.stacks import Stack
from tests.lmtrainer.launch.conftest import CONFIG

QUICK = {**CONFIG, "hangSeconds": 1}

ONE_SLEEPS = """
import os, pathlib, time
def stare_at_the_wall():
    time.sleep(60)
def run(context):
    folder = pathlib.Path(context.node.node_dir)
    context.reports.heartbeat()
    (folder / f"pid-{context.rank}").write_text(str(os.getpid()))
    if context.rank == 1:
        stare_at_the_wall()
    while True:
        time.sleep(0.1)
        context.reports.heartbeat()
"""

SLEEPS_AT_WORK = """
import pathlib, time
def run(context):
    (pathlib.Path(context.node.node_dir) / "pid-0").write_text("1")
    def stare_at_the_wall():
        time.sleep(60)
    stare_at_the_wall()
"""


def test_a_rank_that_gives_no_sign_of_life_is_named_with_its_stack(start_node: Any) -> None:
    begun = time.monotonic()
    node = start_node(ONE_SLEEPS, as_stage=True, nproc_per_node=2, config=QUICK)
    word = node.end(40)
    assert (word.exit_type, node.code) == ("HUNG", 73)
    assert word.failure.rank == 1
    assert "rank 1 has given no sign of life for" in word.failure.message
    assert "stare_at_the_wall, called by" in word.failure.message
    assert time.monotonic() - begun < 30


def test_a_stopped_rank_is_named_too(start_node: Any) -> None:
    node = start_node(ONE_SLEEPS, as_stage=True, nproc_per_node=2, config=QUICK)
    os.kill(int(node.file("pid-1")), signal.SIGSTOP)
    word = node.end(40)
    assert word.exit_type == "HUNG"
    assert "rank 1" in word.failure.message
    assert "does not even tell where it stands" in word.failure.message


def test_a_rank_that_does_not_end_when_asked_tells_where_it_stands(start_node: Any) -> None:
    node = start_node(SLEEPS_AT_WORK, as_stage=True, grace_seconds=0.5)
    node.file("pid-0")
    node.process.terminate()
    word = node.end(20)
    assert word.exit_type == "INTERRUPTED"
    assert "it stands at" in word.failure.message
    assert "stare_at_the_wall" in word.failure.message


def test_a_program_of_the_users_own_is_not_judged_by_its_silence(start_node: Any) -> None:
    node = start_node("import time; time.sleep(3)", config=QUICK)
    word = node.end(20)
    assert "completion" in word.failure.message, "it ended by itself, and proved nothing"


WAITS = Stack(("torch/autograd/graph.py:1 _engine_run_backward", "a.py:2 step"))
COMPUTES = Stack(("a.py:1 read_rows", "b.py:2 run_rank"))


@pytest.mark.parametrize(
    ("stacks", "everybody", "kind", "rank"),
    [
        ({0: WAITS, 1: COMPUTES}, True, HungRankError, 1),
        ({0: WAITS, 1: Stack()}, False, HungRankError, 1),
        ({0: WAITS, 1: WAITS}, True, HungRankError, 0),
        ({0: WAITS, 1: WAITS}, False, PeerLostError, None),
    ],
    ids=["who does not wait", "who does not answer", "all, if all wait", "another node's"],
)
def test_the_culprit_is(stacks: Any, everybody: bool, kind: type, rank: int | None) -> None:
    silent = dict.fromkeys(stacks, 300.0)
    found = hang.verdict(silent, stacks, world_size=4, everybody=everybody)
    assert type(found) is kind
    assert getattr(found, "rank", None) == rank


def test_alone_a_backward_pass_that_does_not_end_hangs() -> None:
    found = hang.verdict({0: 2000.0}, {0: WAITS}, world_size=1, everybody=True)
    assert isinstance(found, HungRankError)


def test_how_long_is_too_long() -> None:
    assert hang.limit(None, 2) < 300, "before the peers give up"
    assert hang.limit(None, 1) > hang.limit(None, 2)
    assert (hang.limit(0, 2), hang.limit(7, 1)) == (0.0, 7.0)
