"""The start gate: followers exist only after the leader of this attempt was ready; and the bound
on how long a group may take to form.

That the gate was opened is not claimed: the followers themselves say so, and a claim would cost a
write between a ready leader and its followers.
"""

from __future__ import annotations

from lmjob.core.fault import Fault
from lmjob.core.memory import GroupState, Memory
from lmjob.core.observed import Replica, Seen
from lmjob.core.plan.shapes import JobPlan, ReplicaKey
from lmtrainer.contract.exits import ExitType


def has_started(replica: Replica | None) -> bool:
    """Ready, or so quick that it has already succeeded. A failed one never counts."""
    return replica is not None and replica.state in ("ready", "succeeded")


def released(seen: Seen) -> bool:
    """The gate is open, or was: a follower is there."""
    return has_started(seen.leader) or bool(seen.followers)


def group_state(memory: Memory, seen: Seen) -> GroupState:
    """How far the group has come; it never goes back. A group of one has nothing to form."""
    if memory.group == "gated" and seen.stage.followers and _all_started(seen):
        return "formed"
    return memory.group


def is_running(memory: Memory, seen: Seen) -> bool:
    """All replicas of the group have started."""
    alone = memory.group == "gated" and not seen.stage.followers
    return memory.group == "formed" or (alone and _all_started(seen))


def _all_started(seen: Seen) -> bool:
    return not seen.missing and all(map(has_started, seen.members))


def may_create(memory: Memory, seen: Seen) -> tuple[ReplicaKey, ...]:
    """Missing replicas that the gate lets through now."""
    leader = seen.stage.leader.key
    if memory.group != "gated":
        return ()
    if seen.leader is None:
        return () if seen.followers else (leader,)
    return seen.missing if has_started(seen.leader) else ()


def deadline(plan: JobPlan, memory: Memory) -> float | None:
    """Unix time by which the group must have formed; None if it may take for ever."""
    if plan.startup_seconds is None:
        return None
    return max(memory.group_since, memory.retry_at) + plan.startup_seconds


def overdue(plan: JobPlan, memory: Memory, seen: Seen, now: float) -> tuple[Fault, ...]:
    """A fault for each replica that did not start in time; none once the group has formed."""
    until = deadline(plan, memory)
    if memory.group != "gated" or until is None or now <= until or is_running(memory, seen):
        return ()
    late = [
        (r.key, f"{r.state}{f' ({r.reason})' if r.reason else ''}")
        for r in seen.members
        if r.live and not has_started(r)
    ]
    late += [(key, "not created") for key in may_create(memory, seen)]
    return tuple(
        Fault(
            reason="StartupTimeout",
            replica=str(key),
            exit_type=ExitType.RENDEZVOUS_FAILED.name,
            message=f"not ready {plan.startup_seconds:g} s after the group began, still {state}",
            attempt=memory.attempt,
            stage=memory.stage,
            at=now,
        )
        for key, state in late
    )
