"""Which rank's end is the cause, and what the node's end is called."""

import dataclasses

import pytest

from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Completion, Failure, Position
from lmtrainer.launch.stacks import Stack
from lmtrainer.launch.verdict import Ending, Situation, judge

LEADS = Situation(leads=True)
FOLLOWS = Situation(leads=False)
TERM, KILL = 15, 9


def end(rank, code, at=1.0, **fields):
    return Ending(rank=rank, code=code, at=at, **fields)


def asked(rank, code, at=2.0, asked_at=1.5, sent=(TERM,)):
    return end(rank, code, at, asked_at=asked_at, sent=frozenset(sent))


@pytest.mark.parametrize(
    ("endings", "first", "expected"),
    [
        ([end(0, 70, 2.0), end(1, 7, 1.0)], 1, "FAILED"),
        ([end(0, 72, 1.0), end(1, 70, 2.0)], 1, "FAILED"),
        ([end(0, 72, 1.0), end(1, -11, 2.0)], 1, "KILLED"),
        ([end(0, 72, 2.0), end(1, 72, 1.0)], 1, "PEER_LOST"),
        ([asked(0, 70, at=3.0), end(1, 65)], 1, "USER_ERROR"),
        ([asked(0, 70, at=1.2), end(1, 65, at=1.3)], 0, "FAILED"),
        ([asked(0, -KILL, sent=(TERM,)), end(1, 72)], 0, "KILLED"),
        ([asked(0, -KILL, sent=(TERM, KILL)), end(1, 72)], 1, "PEER_LOST"),
        ([asked(0, -TERM), asked(1, 75), end(2, 74)], 2, "DISK_FULL"),
        ([end(0, 75), asked(1, 0)], 0, "INTERRUPTED"),
    ],
    ids=[
        "the earliest",
        "an own error before a lost peer",
        "a crash before a lost peer",
        "the earliest of those that lost a peer",
        "not one that fails when it is asked to end",
        "one that had failed when it was asked to end",
        "one that a stranger killed meanwhile",
        "not one that was killed after its time",
        "not those that obeyed",
        "one that was asked from another node",
    ],
)
def test_the_first_error_is(endings, first, expected):
    exit_type, failure = judge(endings, FOLLOWS)
    assert (failure.rank, exit_type.name) == (first, expected)


def test_what_the_others_lost_is_the_one_that_had_to_be_killed():
    stack = Stack(("a.py:1 read",))
    killed = asked(1, -KILL, sent=(TERM, KILL))
    stuck = dataclasses.replace(killed, stack=stack)
    exit_type, failure = judge([end(0, 72), stuck], FOLLOWS)
    assert (exit_type.name, failure.rank) == ("HUNG", 1)
    assert "a.py:1 read" in failure.message
    waiting = dataclasses.replace(killed, stack=Stack(("torch/distributed/c10d.py:1 all_reduce",)))
    assert judge([end(0, 72), waiting], FOLLOWS)[0].name == "PEER_LOST"


COMPLETE = Completion(manifest_sha256="a")
SHORT = Completion(manifest_sha256="a", position=Position(phase_index=0, step=1))


@pytest.mark.parametrize(
    ("leads", "interrupted", "completion", "codes", "expected"),
    [
        (True, False, COMPLETE, [0, 0], "SUCCEEDED"),
        (True, False, COMPLETE, [0, 7], "FAILED"),
        (True, False, None, [0, 0], "FAILED"),
        (True, False, SHORT, [0, 0], "FAILED"),
        (False, False, None, [0, 0], "SUCCEEDED"),
        (True, True, COMPLETE, [0, 0], "SUCCEEDED"),
        (True, True, COMPLETE, [0, 75], "INTERRUPTED"),
        (True, True, None, [0, 0], "INTERRUPTED"),
        (True, True, SHORT, [0, 0], "INTERRUPTED"),
        (False, True, None, [0, 0], "INTERRUPTED"),
        (True, True, COMPLETE, [], "INTERRUPTED"),
    ],
)
def test_success_needs_every_rank_and_on_the_leader_a_proof(
    leads, interrupted, completion, codes, expected
):
    situation = Situation(leads=leads, interrupted=interrupted, completion=completion)
    exit_type, failure = judge([end(rank, code) for rank, code in enumerate(codes)], situation)
    assert exit_type.name == expected
    assert (failure is None) or exit_type is not ExitType.SUCCEEDED


def test_a_fault_of_the_launcher_counts_when_no_rank_failed_of_its_own():
    fault = (ExitType.RENDEZVOUS_FAILED, Failure(message="no store"))
    situation = Situation(leads=False, fault=fault)
    assert judge([], situation) == fault
    assert judge([asked(0, -TERM)], situation) == fault
    assert judge([end(0, 76)], situation)[0] is ExitType.FENCED


def test_a_save_that_failed_after_a_signal_is_told():
    situation = Situation(leads=True, interrupted=True)
    exit_type, failure = judge([asked(1, 75), asked(0, 74)], situation)
    assert exit_type is ExitType.INTERRUPTED
    assert (failure.rank, failure.exit_code) == (0, 74)


def test_messages_name_rank_signal_and_what_helps():
    assert "signal 9 (SIGKILL); often the machine" in judge([end(4, -9)], FOLLOWS)[1].message
    assert "rank 4 was killed by signal 64" in judge([end(4, -64)], FOLLOWS)[1].message
    assert "left no error file" in judge([end(4, 7)], FOLLOWS)[1].message
    assert judge([end(4, 7, message="E: x")], FOLLOWS)[1].message == "rank 4: E: x"
