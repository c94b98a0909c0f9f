"""A group ends as one, and its first cause is told."""

from __future__ import annotations

import pytest

from lmjob.core.decide import Act, Claim, Wait, decide
from lmjob.core.memory import Memory, failing
from lmjob.core.observed import Observed, sort
from lmjob.core.policy import cause, gang
from lmtrainer.contract.exits import ExitType

NOW = 1000.0
READY = ("master-0", "worker-0", "worker-1")


def memory(group: str = "formed", **changes) -> Memory:
    values = {"attempt": 1, "stage": "train", "group": group, "group_since": NOW, "noted_at": NOW}
    return Memory(**{**values, **changes})


def group(replica, *changed) -> Observed:
    others = [replica(name, "ready") for name in READY]
    keys = {r.key for r in changed}
    return Observed(replicas=(*(r for r in others if r.key not in keys), *changed))


def fault_of(plan_of, seen, before=None):
    decision = decide(plan_of(), before or memory(), seen, NOW)
    assert isinstance(decision, Claim), decision
    assert decision.memory.group == "failing"
    assert decision.memory.attempt == 1
    return decision.memory.last_fault


@pytest.mark.parametrize("name", READY)
def test_any_failed_replica_ends_the_attempt(plan_of, replica, name):
    dead = replica(name, "failed", exit_type=ExitType.FAILED, message="boom")
    fault = fault_of(plan_of, group(replica, dead))
    assert (fault.reason, fault.replica, fault.rank) == ("RankFailed", name, 1)
    assert fault.message == "boom"


@pytest.mark.parametrize(
    ("exit_type", "reason"),
    [
        (ExitType.USER_ERROR, "UserError"),
        (ExitType.DISK_FULL, "DiskFull"),
        (ExitType.KILLED, "RankKilled"),
        (ExitType.HUNG, "RankHung"),
        (ExitType.FENCED, "Fenced"),
        (ExitType.RENDEZVOUS_FAILED, "RendezvousFailed"),
        (ExitType.INTERRUPTED, "Interrupted"),
        (ExitType.PEER_LOST, "PeerLost"),
    ],
)
def test_the_reason_follows_the_exit_type_also_without_a_last_word(
    plan_of, replica, exit_type, reason
):
    said = replica("worker-0", "failed", exit_type=exit_type)
    assert fault_of(plan_of, group(replica, said)).reason == reason
    mute = replica("worker-0", "failed", exit_code=exit_type.code)
    assert fault_of(plan_of, group(replica, mute)).reason == reason


@pytest.mark.parametrize("code", [-9, 137])
def test_a_launcher_killed_by_a_signal_is_a_killed_rank(plan_of, replica, code):
    dead = replica("worker-0", "failed", exit_code=code, reason="killed by signal 9")
    fault = fault_of(plan_of, group(replica, dead))
    assert (fault.reason, fault.message) == ("RankKilled", "killed by signal 9")


@pytest.mark.parametrize(
    ("state", "reason"), [("lost", "NodeLost"), ("terminating", "ReplicaDeleted")]
)
def test_a_lost_or_deleted_replica_ends_the_attempt(plan_of, replica, state, reason):
    assert fault_of(plan_of, group(replica, replica("worker-1", state))).reason == reason


def test_an_absent_replica_of_a_formed_group_was_lost(plan_of, replica):
    seen = Observed(replicas=(replica("master-0", "ready"), replica("worker-1", "ready")))
    fault = fault_of(plan_of, seen)
    assert (fault.reason, fault.replica) == ("ReplicaDeleted", "worker-0")


def test_a_leader_that_is_absent_behind_an_open_gate_was_lost(plan_of, replica):
    seen = Observed(replicas=(replica("worker-0", "starting"),))
    fault = fault_of(plan_of, seen, memory("gated"))
    assert (fault.reason, fault.replica) == ("ReplicaDeleted", "master-0")


def test_a_second_incarnation_ends_the_attempt(plan_of, replica):
    seen = group(replica)
    twin = replica("worker-0", "ready", uid="twin")
    fault = fault_of(plan_of, Observed(replicas=(*seen.replicas, twin)))
    assert fault.reason == "UnexpectedReplica"


def test_a_worker_that_finished_first_is_no_fault(plan_of, replica):
    seen = group(replica, replica("worker-0", "succeeded", exit_code=0))
    assert decide(plan_of(), memory(), seen, NOW) == Wait("Running")


def test_the_last_word_of_another_job_is_not_believed(plan_of, replica):
    dead = replica("worker-0", "failed", exit_type=ExitType.USER_ERROR, attempt=2)
    foreign = replica("worker-0", "failed", exit_code=-9, termination=dead.termination)
    assert fault_of(plan_of, group(replica, foreign)).reason == "RankKilled"


def test_an_echo_is_not_the_cause_when_somebody_has_a_better_one(plan_of, replica):
    echo = replica("master-0", "failed", exit_type=ExitType.PEER_LOST, message="peer lost")
    own = replica("worker-1", "failed", exit_type=ExitType.FAILED, message="my own")
    assert fault_of(plan_of, group(replica, echo, own)).replica == "worker-1"


def test_of_equal_causes_the_lowest_rank_is_told(plan_of, replica):
    both = [replica(n, "failed", exit_type=ExitType.FAILED) for n in ("worker-1", "worker-0")]
    assert fault_of(plan_of, group(replica, *both)).replica == "worker-0"


def test_the_rest_of_a_failing_group_is_ended_and_then_waited_for(plan_of, replica):
    dead = replica("worker-1", "failed", exit_type=ExitType.FAILED)
    seen = group(replica, dead)
    before = decide(plan_of(), memory(), seen, NOW).memory
    act = decide(plan_of(), before, seen, NOW)
    assert act == Act(delete=("1-master-0", "1-worker-0"), grace_seconds=5.0)
    ending = [replica(name, "terminating") for name in READY[:2]]
    assert decide(plan_of(), before, group(replica, dead, *ending), NOW) == Wait("GroupEnding")


def test_the_others_of_an_echo_may_tell_a_better_cause_before_they_are_ended(plan_of, replica):
    echo = replica("worker-1", "failed", exit_type=ExitType.PEER_LOST)
    seen = group(replica, echo)
    before = decide(plan_of(), memory(), seen, NOW).memory
    until = NOW + cause.ECHO_SECONDS
    assert decide(plan_of(), before, seen, NOW) == Wait("GroupEnding", until)
    assert isinstance(decide(plan_of(), before, seen, until), Act)


def test_a_better_cause_told_while_the_group_ends_is_taken(plan_of, replica):
    echo = replica("worker-1", "failed", exit_type=ExitType.PEER_LOST)
    own = replica("master-0", "failed", exit_type=ExitType.USER_ERROR, message="bad data")
    gone = replica("worker-0", "failed", exit_type=ExitType.INTERRUPTED)
    seen = Observed(replicas=(echo, own, gone))
    first = gang.faults(memory(), _sorted(plan_of, group(replica, echo)), NOW)[0]
    decision = decide(plan_of(), failing(memory(), first, NOW), seen, NOW)
    assert decision.memory.outcome == "failed"
    assert decision.memory.last_fault.message == "bad data"


def test_ends_that_were_our_own_doing_tell_no_cause(plan_of, replica):
    first = gang.faults(
        memory(), _sorted(plan_of, group(replica, replica("worker-1", "lost"))), NOW
    )[0]
    ours = [
        replica("master-0", "failed", exit_code=-9),
        replica("worker-0", "failed", exit_type=ExitType.INTERRUPTED),
    ]
    seen = Observed(replicas=tuple(ours))
    decision = decide(plan_of(), failing(memory(), first, NOW), seen, NOW)
    assert decision.memory.last_fault.reason == "NodeLost"


def _sorted(plan_of, observed):
    return sort(plan_of(), memory(), observed)


def test_a_pod_on_a_node_that_was_given_up_is_a_lost_node_and_not_a_deleted_pod(plan_of, replica):
    dead = replica("worker-1", "terminating", cut_off_since=NOW, ending_by=NOW + 30, disrupted=True)
    fault = fault_of(plan_of, group(replica, dead))
    assert (fault.reason, fault.replica, fault.disrupted) == ("NodeLost", "worker-1", True)


def test_a_node_given_up_while_its_group_is_ended_was_the_cause_of_what_its_peers_felt(
    plan_of, replica
):
    """The peers of a node without power fail at once; the platform gives the node up much later."""
    felt = fault_of(
        plan_of, group(replica, replica("master-0", "failed", exit_type=ExitType.PEER_LOST))
    )
    ending = failing(memory(), felt, NOW)
    silent = replica("worker-1", "terminating", ending_by=NOW + 60)
    assert isinstance(decide(plan_of(), ending, Observed(replicas=(silent,)), NOW + 9), Wait)
    given_up = replica("worker-1", "terminating", ending_by=NOW + 60, cut_off_since=NOW + 9)
    seen = Observed(replicas=(given_up,))
    decision = decide(plan_of(), ending, seen, NOW + 9)
    assert isinstance(decision, Claim)
    assert (decision.memory.group, decision.memory.last_fault.reason) == ("failing", "NodeLost")
    assert decide(plan_of(), decision.memory, seen, NOW + 9) == Wait("GroupEnding", NOW + 14)
