"""A replica on a dead node is removed by force, after stated bounds and never earlier."""

from __future__ import annotations

import pytest

from lmjob.core.decide import Act, Wait, decide
from lmjob.core.fault import Fault
from lmjob.core.memory import Memory, failing
from lmjob.core.observed import Observed

NOW = 1000.0
FAULT = Fault(reason="ReplicaDeleted", replica="worker-0", attempt=1)
FAILING = failing(Memory(attempt=1, stage="train", group="formed"), FAULT, NOW - 100)


@pytest.mark.parametrize(
    ("times", "due"),
    [
        ({"ending_by": NOW + 30}, NOW + 45),
        ({"ending_by": NOW + 30, "cut_off_since": NOW}, NOW + 5),
        ({"ending_by": NOW, "cut_off_since": NOW + 30}, NOW + 15),
    ],
)
def test_nobody_waits_for_a_dead_node_longer_than_stated(plan_of, replica, times, due):
    seen = Observed(replicas=(replica("worker-0", "terminating", **times),))
    assert decide(plan_of(), FAILING, seen, due - 0.1) == Wait("GroupEnding", due)
    assert decide(plan_of(), FAILING, seen, due) == Act(force=("1-worker-0",), grace_seconds=5.0)


def test_who_ends_on_the_word_of_others_has_no_bound_of_ours(plan_of, replica):
    seen = Observed(replicas=(replica("worker-0", "terminating"),))
    assert decide(plan_of(), FAILING, seen, NOW + 1e6) == Wait("GroupEnding", None)


def test_a_live_replica_is_asked_while_a_dead_one_is_removed(plan_of, replica):
    dead = replica("worker-0", "terminating", ending_by=NOW - 60)
    seen = Observed(replicas=(replica("master-0", "ready"), dead))
    act = Act(delete=("1-master-0",), force=("1-worker-0",), grace_seconds=5.0)
    assert decide(plan_of(), FAILING, seen, NOW) == act


@pytest.mark.parametrize(("reason", "grace"), [("NodeLost", 5.0), ("ReplicaDeleted", 60.0)])
def test_who_waits_in_vain_for_a_lost_node_is_not_given_time_to_save(
    plan_of, replica, reason, grace
):
    fault = Fault(reason=reason, replica="worker-0", attempt=1)
    ending = failing(Memory(attempt=1, stage="train", group="formed"), fault, NOW)
    seen = Observed(replicas=(replica("master-0", "ready"),))
    act = Act(delete=("1-master-0",), grace_seconds=grace)
    assert decide(plan_of(grace_seconds=60.0), ending, seen, NOW + 9) == act
