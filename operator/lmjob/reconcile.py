"""One pass over a job: observe, decide, then either claim or act, and report.

`think` is the pass as a value; the cluster's operator carries it out with its own, concurrent
requests. `reconcile` carries it out through the `Backend` protocol, for the local runner.
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


@dataclass(frozen=True)
class Pass:
    """What a pass does, as values."""

    decision: Decision
    status: Status
    """Of the claimed memory if the decision is a claim, else of the one recalled."""
    told: tuple[Event, ...] = ()
    """To be told once the claim is stored."""


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


def think(plan: JobPlan, recalled: Recalled, observed: Observed, now: float) -> Pass:
    """Decide about a job and word the result."""
    memory = recalled.memory
    decision = decide(plan, memory, observed, now)
    after = decision.memory if isinstance(decision, Claim) else memory
    status = report(plan, after, observed, now, recalled.status)
    told = events(plan, memory, after) if isinstance(decision, Claim) else ()
    return Pass(decision, status, told)


def reconcile(plan: JobPlan, backend: Backend, now: float) -> Decision:
    """One pass; the decision tells the caller whether and until when to wait."""
    recalled = backend.recall()
    memory = recalled.memory
    found = think(plan, recalled, backend.observe(memory), now)
    decision = found.decision
    if isinstance(decision, Claim):
        if backend.claim(memory, decision.memory, found.status):
            backend.tell(found.told)
        return decision
    if isinstance(decision, Act):
        if decision.force:
            backend.delete(decision.force, 0.0)
        backend.delete(decision.delete, decision.grace_seconds)
        backend.create(memory, decision.create)
    backend.report(found.status)
    return decision
