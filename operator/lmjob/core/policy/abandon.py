"""Replicas on dead nodes: when nobody will end them any more, they are removed by force.

A node that comes back may still run such a replica. It can do no harm: the rendezvous and the
output folder refuse an older attempt.
"""

from __future__ import annotations

from collections.abc import Iterable

from lmjob.core.memory import Memory
from lmjob.core.observed import Replica
from lmjob.core.plan.shapes import JobPlan

CUT_OFF_SECONDS = 5.0
"""After the platform has given up the node."""

OVERDUE_SECONDS = 15.0
"""After the grace period of a replica that was asked to end, whatever the reason."""

BEREAVED_SECONDS = 5.0
"""Grace of a group that lost a node. The others have waited in vain for its part of a step from
when it fell silent until the platform gave it up: what one of them was saving then is long saved,
and they can agree on nothing more."""


def grace_seconds(plan: JobPlan, memory: Memory) -> float:
    """Between the request to end and the kill, for the replicas of a group that is being ended."""
    fault = memory.last_fault if memory.group == "failing" else None
    if fault is not None and fault.reason == "NodeLost":
        return min(plan.grace_seconds, BEREAVED_SECONDS)
    return plan.grace_seconds


def due_at(replica: Replica) -> float | None:
    """Unix time from which the replica may be removed by force; None if it was not asked to end."""
    if replica.state != "terminating" or replica.ending_by is None:
        return None
    overdue = replica.ending_by + OVERDUE_SECONDS
    if replica.cut_off_since is None:
        return overdue
    return min(overdue, replica.cut_off_since + CUT_OFF_SECONDS)


def due(replicas: Iterable[Replica], now: float) -> tuple[str, ...]:
    """The uids of those to remove by force now."""
    times = ((replica.uid, due_at(replica)) for replica in replicas)
    return tuple(uid for uid, at in times if at is not None and at <= now)


def next_due(replicas: Iterable[Replica]) -> float | None:
    """When the first of them may be removed by force."""
    return min((at for at in map(due_at, replicas) if at is not None), default=None)
