"""An observation sorted by what was claimed."""

from __future__ import annotations

import pytest

from lmjob.core.memory import Memory
from lmjob.core.observed import Observed, sort
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Position, Progress

MEMORY = Memory(attempt=2, stage="train", group="formed")


@pytest.mark.parametrize(
    ("state", "live"),
    [
        ("pending", True),
        ("starting", True),
        ("ready", True),
        ("terminating", True),
        ("lost", True),
        ("succeeded", False),
        ("failed", False),
    ],
)
def test_only_an_exit_that_was_seen_ends_a_replica(replica, state, live):
    assert replica("master-0", state).live == live


def test_the_group_is_the_attempt_and_stage_that_was_claimed(plan_of, replica):
    mine = [replica(n, "ready", attempt=2) for n in ("worker-1", "master-0")]
    others = [
        replica("master-0", "ready", attempt=1),
        replica("prepare-0", "terminating", attempt=2),
        replica("worker-7", "ready", attempt=2),
    ]
    ended = replica("worker-0", "failed", attempt=1)
    seen = sort(plan_of(), MEMORY, Observed(replicas=(*mine, *others, ended)))
    assert [str(r.key) for r in seen.members] == ["master-0", "worker-1"]
    assert set(seen.strays) == set(others)
    assert [str(key) for key in seen.missing] == ["worker-0"]
    assert seen.leader == mine[1]
    assert set(seen.live) == {*mine, *others}


def test_progress_of_another_attempt_or_stage_is_left_out(plan_of):
    for attempt, stage, kept in ((2, "train", True), (1, "train", False), (2, "prepare", False)):
        progress = Progress(attempt=attempt, stage=stage)
        seen = sort(plan_of(), MEMORY, Observed(progress=progress))
        assert (seen.progress is not None) == kept


def test_the_newest_durable_position_wins_whoever_tells_it(plan_of, replica):
    def at(step):
        return Position(phase_index=0, step=step, phase="main")

    word = replica("master-0", "failed", attempt=2, exit_type=ExitType.FAILED, durable=at(60))
    memory = Memory(attempt=2, stage="train", durable=at(20))
    progress = Progress(attempt=2, stage="train", durable=at(40))
    assert sort(plan_of(), memory, Observed()).durable == at(20)
    assert sort(plan_of(), memory, Observed(progress=progress)).durable == at(40)
    seen = sort(plan_of(), memory, Observed(progress=progress, replicas=(word,)))
    assert seen.durable == at(60)
