"""Suspension: the group is ended gracefully and nothing is charged; what follows is a new attempt.

Exits during a suspension are no faults.
"""

from __future__ import annotations

import dataclasses

from lmjob.core.memory import Memory, ended, next_attempt
from lmjob.core.observed import Observed, Seen
from lmjob.core.plan.shapes import JobPlan


def resting(memory: Memory) -> bool:
    """No attempt is under way: never begun, or suspended."""
    return memory.attempt == 0 or memory.outcome == "suspended"


def begin(plan: JobPlan, memory: Memory, now: float) -> Memory:
    """The first attempt, or one more after a suspension."""
    if memory.attempt == 0:
        memory = dataclasses.replace(memory, stage=plan.stages[0].name)
    return next_attempt(memory, now)


def rest(memory: Memory, now: float) -> Memory:
    return ended(memory, "suspended", "Suspended", now)


def after_end(memory: Memory, seen: Seen, observed: Observed, now: float) -> Memory:
    """Nothing of the group is live any more: suspended, unless that was taken back meanwhile."""
    noted = dataclasses.replace(memory, durable=seen.durable)
    return rest(noted, now) if observed.suspend else next_attempt(noted, now)
