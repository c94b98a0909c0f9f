"""What a fault costs, and when there is no next attempt."""

from __future__ import annotations

import pytest

from lmjob.core.decide import Claim, Wait, decide
from lmjob.core.fault import Fault
from lmjob.core.memory import Memory, failing, in_stage
from lmjob.core.observed import Observed
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Position, Progress

NOW = 1000.0


def at(step: int, phase_index: int = 0) -> Position:
    return Position(phase_index=phase_index, step=step, phase="main")


def memory(**changes) -> Memory:
    values = {"attempt": 1, "stage": "train", "group": "formed", "noted_at": NOW}
    return Memory(**{**values, **changes})


def after(plan, before: Memory, *, progress=None, replicas=(), **fault) -> Memory:
    """What is claimed when the group of a fault has ended."""
    cause = Fault(**{"reason": "RankFailed", "replica": "worker-0", "attempt": 1, **fault})
    seen = Observed(replicas=replicas, progress=progress)
    decision = decide(plan, failing(before, cause, NOW), seen, NOW)
    assert isinstance(decision, Claim), decision
    return decision.memory


def test_a_fault_without_a_checkpoint_is_charged_and_waits(plan_of):
    found = after(plan_of(), memory())
    assert (found.attempt, found.restarts, found.outcome) == (2, 1, None)
    assert (found.group, found.stage) == ("gated", "train")
    assert found.retry_at == NOW + 1
    assert decide(plan_of(), found, Observed(), NOW) == Wait("BackOff", NOW + 1)


def test_each_charged_fault_waits_twice_as_long_up_to_a_minute(plan_of):
    plan = plan_of(max_restarts=100)
    waits = [after(plan, memory(restarts=n)).retry_at - NOW for n in (0, 1, 2, 5, 6, 90)]
    assert waits == [1, 2, 4, 32, 60, 60]


@pytest.mark.parametrize(("kept", "charged"), [(0, 1), (40, 1), (41, 0)])
def test_a_fault_of_preparation_after_a_new_part_of_the_dataset_costs_nothing(
    plan_of, kept, charged
):
    before = memory(stage="prepare", kept_at_fault=40)
    progress = Progress(attempt=1, stage="prepare", kept=kept)
    found = after(plan_of(), before, progress=progress)
    assert (found.attempt, found.restarts) == (2, charged)
    assert found.kept_at_fault == max(40, kept), "what lies there does not become less"


def test_what_was_kept_of_preparation_says_nothing_of_training():
    assert in_stage(memory(stage="prepare", kept_at_fault=40), "train", NOW).kept_at_fault == 0


@pytest.mark.parametrize("where", ["progress", "last word", "memory"])
def test_a_fault_after_a_new_checkpoint_costs_nothing(plan_of, replica, where):
    before = memory(restarts=2, durable_at_fault=at(40))
    progress = Progress(attempt=1, stage="train", durable=at(80)) if where == "progress" else None
    word = replica("master-0", "failed", exit_type=ExitType.FAILED, durable=at(80))
    if where == "memory":
        before = memory(restarts=2, durable_at_fault=at(40), durable=at(80))
    replicas = (word,) if where == "last word" else ()
    found = after(plan_of(max_restarts=2), before, progress=progress, replicas=replicas)
    assert (found.attempt, found.restarts, found.retry_at) == (2, 2, 0.0)
    assert found.durable == found.durable_at_fault == at(80)


def test_the_same_checkpoint_pays_for_one_fault_only(plan_of):
    first = after(plan_of(), memory(durable=at(80)))
    assert first.restarts == 0
    second = after(plan_of(), failing(first, first.last_fault, NOW), attempt=2)
    assert second.restarts == 1


def test_a_checkpoint_that_was_found_at_the_start_pays_for_nothing(plan_of):
    progress = Progress(attempt=1, stage="train", durable=at(80), resumed_from=at(80))
    assert after(plan_of(), memory(), progress=progress).restarts == 1


def test_a_later_phase_is_progress(plan_of):
    assert after(plan_of(), memory(durable=at(10, 1), durable_at_fault=at(80))).restarts == 0


def test_when_the_budget_is_spent_the_job_fails_with_its_cause(plan_of):
    found = after(plan_of(max_restarts=2), memory(restarts=2), message="boom")
    assert (found.outcome, found.outcome_reason) == ("failed", "RestartBudgetSpent")
    assert (found.attempt, found.restarts) == (1, 2)
    assert found.last_fault.message == "boom"
    assert found.finished_at == NOW
    assert decide(plan_of(), found, Observed(), NOW + 1e6) == Wait("Finished")


def test_a_users_mistake_is_never_tried_again(plan_of):
    mistake = {"reason": "UserError", "exit_type": "USER_ERROR"}
    found = after(plan_of(max_restarts=99), memory(durable=at(80)), **mistake)
    assert (found.outcome, found.outcome_reason, found.attempt) == ("failed", "UserError", 1)


def test_what_the_platform_ended_is_never_charged(plan_of):
    found = after(plan_of(max_restarts=0), memory(), disrupted=True)
    assert (found.attempt, found.restarts, found.outcome) == (2, 0, None)


def test_lost_steps_are_those_beyond_the_newest_checkpoint(plan_of):
    def lost(position, durable, before=5):
        progress = Progress(attempt=1, stage="train", position=position, durable=durable)
        return after(plan_of(), memory(lost_steps=before), progress=progress).lost_steps

    assert lost(at(95), at(80)) == 5 + 15
    assert lost(at(95), None) == 5 + 95
    assert lost(at(7, 1), at(80, 0)) == 5 + 7
    assert lost(None, at(80)) == 5


def test_progress_of_an_older_attempt_tells_nothing(plan_of):
    progress = Progress(attempt=1, stage="train", durable=at(80))
    before = memory(attempt=2)
    assert after(plan_of(), before, progress=progress).restarts == 1


def test_a_new_checkpoint_is_noted_but_not_too_often(plan_of, replica):
    names = ("master-0", "worker-0", "worker-1")
    progress = Progress(attempt=1, stage="train", durable=at(80))
    seen = Observed(replicas=tuple(replica(n, "ready") for n in names), progress=progress)
    assert decide(plan_of(), memory(), seen, NOW + 14) == Wait("Running")
    decision = decide(plan_of(), memory(), seen, NOW + 15)
    assert isinstance(decision, Claim)
    assert (decision.memory.durable, decision.memory.noted_at) == (at(80), NOW + 15)
    assert decide(plan_of(), decision.memory, seen, NOW + 99) == Wait("Running")


def test_a_noted_checkpoint_never_gets_older(plan_of, replica):
    names = ("master-0", "worker-0", "worker-1")
    progress = Progress(attempt=1, stage="train", durable=at(40))
    seen = Observed(replicas=tuple(replica(n, "ready") for n in names), progress=progress)
    assert decide(plan_of(), memory(durable=at(80)), seen, NOW + 99) == Wait("Running")
