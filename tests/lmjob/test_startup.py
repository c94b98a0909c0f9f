"""The start gate, and the bound on a start."""

from __future__ import annotations

import pytest

from lmjob.core.decide import Act, Claim, Wait, decide
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed, Obstacle
from lmjob.core.plan.shapes import ReplicaKey

NOW = 1000.0
MASTER = ReplicaKey("master", 0)
WORKERS = (ReplicaKey("worker", 0), ReplicaKey("worker", 1))


def memory(group: str = "gated", **changes) -> Memory:
    values = {"attempt": 1, "stage": "train", "group": group, "group_since": NOW, "noted_at": NOW}
    return Memory(**{**values, **changes})


def test_the_first_pass_claims_the_first_attempt_and_creates_nothing(plan_of):
    decision = decide(plan_of(), Memory(), Observed(), NOW)
    assert isinstance(decision, Claim)
    claimed = decision.memory
    assert (claimed.attempt, claimed.stage, claimed.group) == (1, "prepare", "gated")
    assert claimed.started_at == NOW


def test_behind_the_closed_gate_only_the_leader_is_created(plan_of):
    assert decide(plan_of(), memory(), Observed(), NOW) == Act(create=(MASTER,))


@pytest.mark.parametrize("state", ["pending", "starting"])
def test_a_leader_that_is_not_ready_keeps_the_gate_closed(plan_of, replica, state):
    seen = Observed(replicas=(replica("master-0", state),))
    decision = decide(plan_of(), memory(), seen, NOW)
    assert decision == Wait("MasterStarting", NOW + 30)


def test_the_workers_are_created_as_soon_as_the_leader_is_ready(plan_of, replica):
    seen = Observed(replicas=(replica("master-0", "ready"),))
    assert decide(plan_of(), memory(), seen, NOW) == Act(create=WORKERS)


def test_a_leader_that_stops_being_ready_holds_back_the_workers_that_are_missing(plan_of, replica):
    seen = Observed(replicas=(replica("master-0", "starting"), replica("worker-0", "ready")))
    assert decide(plan_of(), memory(), seen, NOW) == Wait("WorkersStarting", NOW + 30)


OBSTACLE = Observed(obstacle=Obstacle("VolumeNotFound", "there is no volume claim results"))


def test_nothing_is_begun_while_there_is_an_obstacle(plan_of):
    assert decide(plan_of(startup_seconds=None), Memory(), OBSTACLE, NOW) == Wait("Blocked")


def test_an_obstacle_is_waited_for_no_longer_than_the_start_may_take(plan_of):
    begun = decide(plan_of(), Memory(), OBSTACLE, NOW)
    assert isinstance(begun, Claim), "from now on the clock runs"
    assert decide(plan_of(), memory(), OBSTACLE, NOW) == Wait("Blocked", NOW + 30)
    late = decide(plan_of(), memory(), OBSTACLE, NOW + 31)
    assert isinstance(late, Claim)
    assert late.memory.last_fault.reason == "StartupTimeout"


def test_a_ready_leader_of_another_attempt_opens_nothing(plan_of, replica):
    old = replica("master-0", "ready", attempt=1)
    decision = decide(plan_of(), memory(attempt=2), Observed(replicas=(old,)), NOW)
    assert decision == Act(delete=("1-master-0",), grace_seconds=5.0)


def test_a_failed_leader_opens_nothing(plan_of, replica):
    seen = Observed(replicas=(replica("master-0", "failed", exit_code=70),))
    decision = decide(plan_of(), memory(), seen, NOW)
    assert isinstance(decision, Claim)
    assert decision.memory.group == "failing"


def test_a_group_is_formed_when_all_were_ready(plan_of, replica):
    some = (replica("master-0", "ready"), replica("worker-0", "ready"))
    late = decide(plan_of(), memory(), Observed(replicas=some), NOW)
    assert late == Act(create=WORKERS[1:])
    seen = Observed(replicas=(*some, replica("worker-1", "ready")))
    decision = decide(plan_of(), memory(), seen, NOW)
    assert isinstance(decision, Claim)
    assert decision.memory.group == "formed"
    assert decide(plan_of(), decision.memory, seen, NOW) == Wait("Running")


def test_a_stage_of_one_replica_runs_when_it_is_ready(plan_of, replica):
    seen = Observed(replicas=(replica("prepare-0", "ready"),))
    assert decide(plan_of(), memory(stage="prepare"), seen, NOW + 999) == Wait("Running")


def test_without_a_bound_a_group_may_wait_for_ever(plan_of, replica):
    seen = Observed(replicas=(replica("master-0", "pending"),))
    decision = decide(plan_of(startup_seconds=None), memory(), seen, NOW + 1e6)
    assert decision == Wait("MasterStarting", None)


@pytest.mark.parametrize(("seconds", "late"), [(30.0, False), (30.1, True)])
def test_a_replica_that_does_not_get_ready_in_time_is_a_fault(plan_of, replica, seconds, late):
    stuck = replica("worker-1", "pending", reason="Unschedulable", created_at=NOW)
    others = (replica("master-0", "ready"), replica("worker-0", "ready"))
    seen = Observed(replicas=(*others, stuck))
    decision = decide(plan_of(), memory(), seen, NOW + seconds)
    assert isinstance(decision, Claim) == late
    if isinstance(decision, Claim):
        fault = decision.memory.last_fault
        assert (fault.reason, fault.replica) == ("StartupTimeout", "worker-1")
        assert "pending (Unschedulable)" in fault.message
        assert fault.exit.code == 69


def test_a_replica_that_cannot_be_created_is_overdue_too(plan_of):
    assert isinstance(decide(plan_of(), memory(), Observed(), NOW + 30), Act)
    decision = decide(plan_of(), memory(), Observed(), NOW + 31)
    assert isinstance(decision, Claim)
    assert "not created" in decision.memory.last_fault.message


def test_a_back_off_counts_for_nobodys_start(plan_of):
    waiting = memory(retry_at=NOW + 60)
    assert decide(plan_of(), waiting, Observed(), NOW + 59) == Wait("BackOff", NOW + 60)
    assert isinstance(decide(plan_of(), waiting, Observed(), NOW + 89), Act)


def test_a_formed_group_is_never_overdue(plan_of, replica):
    names = ("master-0", "worker-0", "worker-1")
    seen = Observed(replicas=tuple(replica(name, "starting") for name in names))
    assert decide(plan_of(), memory("formed"), seen, NOW + 9999) == Wait("Running")
