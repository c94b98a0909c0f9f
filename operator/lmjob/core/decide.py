"""The decision core: (plan, memory, observed, now) -> one claim, one set of acts, or a wait.

Called by `lmjob.reconcile`, for every backend the same. A claim is stored before anything is done
in its name, and a pass never does both, so a controller may die anywhere: the next pass starts from
what was claimed and what is there. Policies are asked in the order in which they stand here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lmjob.core.fault import Fault
from lmjob.core.memory import Memory, failing, in_group
from lmjob.core.observed import Observed, Replica, Seen, sort
from lmjob.core.plan.shapes import JobPlan, ReplicaKey
from lmjob.core.policy import (
    abandon,
    budgets,
    cause,
    gang,
    notes,
    restart,
    startup,
    success,
    suspend,
)

WaitReason = Literal[
    "Finished",
    "Suspended",
    "GroupEnding",
    "BackOff",
    "Blocked",
    "MasterStarting",
    "WorkersStarting",
    "Running",
]


@dataclass(frozen=True)
class Claim:
    """Store this memory in place of the one that the decision was made on."""

    memory: Memory


@dataclass(frozen=True, kw_only=True)
class Act:
    """Create these replicas of the claimed attempt, and end these by uid. Safe to repeat."""

    create: tuple[ReplicaKey, ...] = ()
    delete: tuple[str, ...] = ()
    grace_seconds: float = 0.0
    """Between the request to end and the kill."""
    force: tuple[str, ...] = ()
    """To remove without waiting for anybody."""


@dataclass(frozen=True)
class Wait:
    """Nothing to do before something changes, or before `until` (Unix time)."""

    reason: WaitReason
    until: float | None = None


Decision = Claim | Act | Wait


def decide(plan: JobPlan, memory: Memory, observed: Observed, now: float) -> Decision:
    """What to do next about a job."""
    if suspend.resting(memory):
        return _rest(plan, memory, observed, now)
    seen = sort(plan, memory, observed)
    if memory.final:
        return _end(plan, seen.live, "Finished", now) or Wait("Finished")
    if success.proven(plan, seen):
        return Claim(success.after_stage(plan, memory, seen, now))
    if memory.ending:
        return _end_group(plan, memory, seen, now) or _after_end(plan, memory, observed, seen, now)
    if observed.suspend:
        return Claim(in_group(memory, "suspending", now))
    fault = _fault(plan, memory, seen, now)
    if fault is not None:
        return Claim(failing(memory, fault, now))
    return _end(plan, seen.strays, "GroupEnding", now) or _go_on(plan, memory, observed, seen, now)


def _rest(plan: JobPlan, memory: Memory, observed: Observed, now: float) -> Decision:
    if not observed.suspend:
        if observed.obstacle is not None and plan.startup_seconds is None:
            return Wait("Blocked")  # with a bound the clock runs from now on
        return Claim(suspend.begin(plan, memory, now))
    if memory.outcome != "suspended":
        return Claim(suspend.rest(memory, now))
    return _end(plan, observed.live, "Suspended", now) or Wait("Suspended")


def _end(
    plan: JobPlan,
    live: Iterable[Replica],
    reason: WaitReason,
    now: float,
    grace_seconds: float | None = None,
) -> Decision | None:
    """End what is live and was not asked to end yet, then wait for it; None if nothing is live."""
    live = tuple(live)
    grace = plan.grace_seconds if grace_seconds is None else grace_seconds
    unasked = tuple(replica.uid for replica in live if replica.state != "terminating")
    abandoned = abandon.due(live, now)
    if unasked or abandoned:
        return Act(delete=unasked, grace_seconds=grace, force=abandoned)
    return Wait(reason, abandon.next_due(live)) if live else None


def _end_group(plan: JobPlan, memory: Memory, seen: Seen, now: float) -> Decision | None:
    if memory.group == "failing" and memory.last_fault is not None:
        better = cause.first((memory.last_fault, *gang.lost_nodes(memory, seen, now)))
        if better is not memory.last_fault:
            return Claim(dataclasses.replace(memory, last_fault=better))
    spared = cause.spared_until(memory.last_fault, memory.group_since)
    if memory.group == "failing" and seen.live and now < spared:
        return Wait("GroupEnding", spared)
    return _end(plan, seen.live, "GroupEnding", now, abandon.grace_seconds(plan, memory))


def _after_end(
    plan: JobPlan, memory: Memory, observed: Observed, seen: Seen, now: float
) -> Decision:
    if memory.group == "suspending" or memory.last_fault is None:
        return Claim(suspend.after_end(memory, seen, observed, now))
    known = (memory.last_fault, *gang.confessions(memory, seen, now))
    fault = cause.first(known) or memory.last_fault
    cost = budgets.charge(memory, seen, fault)
    return Claim(restart.after_fault(plan, memory, seen, fault, cost, now))


def _fault(plan: JobPlan, memory: Memory, seen: Seen, now: float) -> Fault | None:
    return cause.first(
        (
            *gang.faults(memory, seen, now),
            *success.unproven(plan, memory, seen, now),
            *startup.overdue(plan, memory, seen, now),
        )
    )


def _go_on(plan: JobPlan, memory: Memory, observed: Observed, seen: Seen, now: float) -> Decision:
    if now < memory.retry_at:
        return Wait("BackOff", memory.retry_at)
    group = startup.group_state(memory, seen)
    if group != memory.group:
        return Claim(in_group(memory, group, now))
    create = startup.may_create(memory, seen)
    if create:
        if observed.obstacle is not None:
            return Wait("Blocked", startup.deadline(plan, memory))
        return Act(create=create)
    if notes.worth_noting(memory, seen, now):
        return Claim(notes.noted(memory, seen, now))
    if startup.is_running(memory, seen):
        return Wait("Running")
    reason: WaitReason = "WorkersStarting" if startup.released(seen) else "MasterStarting"
    return Wait(reason, startup.deadline(plan, memory))
