"""What people are told when something changed: one event for each claim that means something.

Computed from the memory before and after a claim, so an event is told once and is never the only
place of a fact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lmjob.core.memory import Memory
from lmjob.core.plan.shapes import JobPlan
from lmjob.core.words import fault_words, position_words

EventReason = Literal[
    "AttemptStarted",
    "StageStarted",
    "GroupFormed",
    "AttemptFailed",
    "Suspending",
    "Suspended",
    "Complete",
    "Failed",
]


@dataclass(frozen=True)
class Event:
    reason: EventReason
    message: str
    warning: bool = False


def events(plan: JobPlan, before: Memory, after: Memory) -> tuple[Event, ...]:
    """The events of a claim, in order; most claims make one or none."""
    found: list[Event] = []
    if after.outcome != before.outcome and after.outcome is not None:
        found.append(_outcome(after))
    if after.attempt != before.attempt:
        found.append(_attempt(before, after))
    if after.stage != before.stage and before.attempt:
        found.append(Event("StageStarted", f"{before.stage} is done; {after.stage} starts"))
    elif after.group != before.group:
        found += _group(plan, after)
    return tuple(found)


def _outcome(after: Memory) -> Event:
    if after.outcome == "complete":
        return Event("Complete", "all stages are done")
    if after.outcome == "suspended":
        return Event("Suspended", f"suspended; {position_words(after.durable)} is saved")
    cause = fault_words(after.last_fault) if after.last_fault else ""
    why = {
        "UserError": "the same again would fail again",
        "RestartBudgetSpent": f"{after.restarts} restarts without progress are used up",
    }.get(after.outcome_reason or "", "")
    return Event("Failed", f"{cause} ({why})", warning=True)


def _attempt(before: Memory, after: Memory) -> Event:
    if before.attempt == 0:
        return Event("AttemptStarted", f"attempt {after.attempt}: {after.stage} starts")
    from_where = f" from {position_words(after.durable)}" if after.stage == "train" else ""
    why = ""
    if before.group == "failing" and after.last_fault is not None:
        why = f"{fault_words(after.last_fault)}; "
    return Event(
        "AttemptStarted", f"attempt {after.attempt}: {why}going on with {after.stage}{from_where}"
    )


def _group(plan: JobPlan, after: Memory) -> list[Event]:
    nodes = len(plan.stage(after.stage).replicas)
    if after.group == "failing" and after.last_fault is not None:
        told = f"{fault_words(after.last_fault)}; ending attempt {after.attempt}"
        return [Event("AttemptFailed", told, warning=True)]
    if after.group == "suspending":
        return [Event("Suspending", "saving and ending all nodes")]
    if after.group == "formed" and nodes > 1:
        return [Event("GroupFormed", f"all {nodes} nodes are ready")]
    return []
