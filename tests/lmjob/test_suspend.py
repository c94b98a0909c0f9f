"""A job rests when the user wants it, and goes on as a new attempt that costs nothing."""

from __future__ import annotations

from lmjob.core.decide import Act, Claim, Wait, decide
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Position

NOW = 1000.0
NAMES = ("master-0", "worker-0", "worker-1")


def memory(**changes) -> Memory:
    return Memory(**{"attempt": 1, "stage": "train", "group": "formed", "noted_at": NOW, **changes})


def claimed(plan, before, *replicas, suspend=True) -> Memory:
    decision = decide(plan, before, Observed(replicas=replicas, suspend=suspend), NOW)
    assert isinstance(decision, Claim), decision
    return decision.memory


def test_a_running_group_is_ended_gracefully_and_then_rests(plan_of, replica):
    plan = plan_of()
    running = [replica(name, "ready") for name in NAMES]
    ending = claimed(plan, memory(), *running)
    assert ending.group == "suspending"
    seen = Observed(replicas=tuple(running), suspend=True)
    assert decide(plan, ending, seen, NOW) == Act(
        delete=tuple(r.uid for r in running), grace_seconds=5.0
    )
    durable = Position(phase_index=0, step=60, phase="main")
    saved = replica("master-0", "failed", exit_type=ExitType.INTERRUPTED, durable=durable)
    others = [replica(name, "failed", exit_type=ExitType.INTERRUPTED) for name in NAMES[1:]]
    resting = claimed(plan, ending, saved, *others)
    assert (resting.outcome, resting.outcome_reason) == ("suspended", "Suspended")
    assert (resting.restarts, resting.last_fault, resting.durable) == (0, None, durable)
    assert decide(plan, resting, Observed(suspend=True), NOW) == Wait("Suspended")


def test_going_on_is_a_new_attempt_that_is_not_charged(plan_of):
    resting = memory(outcome="suspended", outcome_reason="Suspended", finished_at=NOW, restarts=1)
    found = claimed(plan_of(), resting, suspend=False)
    assert (found.attempt, found.restarts, found.group) == (2, 1, "gated")
    assert (found.outcome, found.finished_at, found.retry_at) == (None, None, 0.0)


def test_a_job_that_is_born_suspended_starts_nothing_until_it_may(plan_of):
    found = claimed(plan_of(), Memory())
    assert (found.outcome, found.attempt) == ("suspended", 0)
    assert claimed(plan_of(), found, suspend=False).attempt == 1


def test_a_suspension_that_is_taken_back_while_the_group_ends_goes_on(plan_of, replica):
    ended = [replica(name, "failed", exit_type=ExitType.INTERRUPTED) for name in NAMES]
    found = claimed(plan_of(), memory(group="suspending"), *ended, suspend=False)
    assert (found.attempt, found.restarts, found.outcome) == (2, 0, None)


def test_no_exit_during_a_suspension_is_a_fault(plan_of, replica):
    ended = [replica(name, "failed", exit_type=ExitType.FAILED) for name in NAMES]
    assert claimed(plan_of(), memory(group="suspending"), *ended).outcome == "suspended"


def test_a_back_off_does_not_delay_a_suspension(plan_of):
    waiting = memory(group="gated", retry_at=NOW + 60, attempt=2)
    assert claimed(plan_of(), waiting).group == "suspending"


def test_nothing_is_left_alive_of_a_job_at_rest(plan_of, replica):
    resting = memory(outcome="suspended")
    seen = Observed(replicas=(replica("worker-0", "ready"),), suspend=True)
    assert decide(plan_of(), resting, seen, NOW) == Act(delete=("1-worker-0",), grace_seconds=5.0)
