"""The start gate: followers exist only after the leader of this attempt was ready; and the bound
on how long a group may take to form."""

from __future__ import annotations

from lmjob.core.fault import Fault
from lmjob.core.memory import GroupState, Memory
from lmjob.core.observed import Replica, Seen
from lmjob.core.plan.shapes import JobPlan, ReplicaKey
from lmtrainer.contract.exits import ExitType


def has_started(replica: Replica | None) -> bool:
    """Ready, or so quick that it has already succeeded. A failed one never counts."""
    return replica is not None and replica.state in ("ready", "succeeded")


def group_state(memory: Memory, seen: Seen) -> GroupState:
    """How far the group has come, one step at a time; it never goes back."""
    if memory.group == "gated" and has_started(seen.leader):
        return "released" if seen.stage.followers else "formed"
    if memory.group == "released" and not seen.missing and all(map(has_started, seen.members)):
        return "formed"
    return memory.group


def may_create(memory: Memory, seen: Seen) -> tuple[ReplicaKey, ...]:
    """Missing replicas that the gate lets through now."""
    leader = seen.stage.leader.key
    if memory.group == "gated":
        return tuple(key for key in seen.missing if key == leader)
    if memory.group == "released" and has_started(seen.leader):
        return tuple(key for key in seen.missing if key != leader)
    return ()


def deadline(plan: JobPlan, memory: Memory, created_at: float = 0.0) -> float:
    """Unix time at which a replica that has not started by then is overdue."""
    return max(memory.group_since, memory.retry_at, created_at) + plan.startup_seconds


def overdue(plan: JobPlan, memory: Memory, seen: Seen, now: float) -> tuple[Fault, ...]:
    """A fault for each replica that did not start in time; none once the group has formed."""
    if memory.group not in ("gated", "released"):
        return ()
    late = [
        (r.key, f"{r.state}{f' ({r.reason})' if r.reason else ''}")
        for r in seen.members
        if r.live and not has_started(r) and now > deadline(plan, memory, r.created_at)
    ]
    if now > deadline(plan, memory):
        late += [(key, "not created") for key in may_create(memory, seen)]
    return tuple(
        Fault(
            reason="StartupTimeout",
            replica=str(key),
            exit_type=ExitType.RENDEZVOUS_FAILED.name,
            message=f"not ready {plan.startup_seconds:g} s after it might start, still {state}",
            attempt=memory.attempt,
            stage=memory.stage,
            at=now,
        )
        for key, state in late
    )
