"""One pass over a job: observe, decide, then either claim or act, and report.

Knows the `Backend` protocol only; the local runner and the cluster's operator call it in a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lmjob.core.decide import Act, Claim, Decision, decide
from lmjob.core.events import Event, events
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed
from lmjob.core.plan.shapes import JobPlan, ReplicaKey
from lmjob.core.report import Status, report


@dataclass(frozen=True)
class Recalled:
    """What a backend has stored of a job."""

    memory: Memory
    status: Status | None = None


class Backend(Protocol):
    """A place where a job's replicas run. Every call may be repeated."""

    def recall(self) -> Recalled:
        """What was claimed and reported last."""

    def observe(self, memory: Memory) -> Observed:
        """What is there now."""

    def claim(self, before: Memory, after: Memory, status: Status) -> bool:
        """Store `after` durably if the stored memory is still `before`; else change nothing and
        return False."""

    def create(self, memory: Memory, keys: Sequence[ReplicaKey]) -> None:
        """Start these replicas of the claimed attempt, unless they are there."""

    def delete(self, uids: Sequence[str], grace_seconds: float) -> None:
        """Ask these replicas to end, and kill them after the grace period."""

    def report(self, status: Status) -> None:
        """Publish a status; called in each pass without a claim, also when nothing changed."""

    def tell(self, told: Sequence[Event]) -> None:
        """Tell people; may be lost."""


def reconcile(plan: JobPlan, backend: Backend, now: float) -> Decision:
    """One pass; the decision tells the caller whether and until when to wait."""
    recalled = backend.recall()
    memory = recalled.memory
    observed = backend.observe(memory)
    decision = decide(plan, memory, observed, now)
    if isinstance(decision, Claim):
        status = report(plan, decision.memory, observed, now, recalled.status)
        if backend.claim(memory, decision.memory, status):
            backend.tell(events(plan, memory, decision.memory))
        return decision
    if isinstance(decision, Act):
        backend.delete(decision.delete, decision.grace_seconds)
        backend.create(memory, decision.create)
    backend.report(report(plan, memory, observed, now, recalled.status))
    return decision
