"""After a fault, when nothing of the attempt is live any more: another attempt, or the end."""

from __future__ import annotations

import dataclasses

from lmjob.core.fault import Fault
from lmjob.core.memory import Memory, ended, next_attempt
from lmjob.core.observed import Seen
from lmjob.core.plan.shapes import JobPlan
from lmjob.core.policy.budgets import Charge, kept, lost_steps


def after_fault(
    plan: JobPlan, memory: Memory, seen: Seen, fault: Fault, cost: Charge, now: float
) -> Memory:
    """A user's mistake is never tried again; anything else as long as the budget lasts."""
    told = dataclasses.replace(
        memory,
        last_fault=fault,
        durable=seen.durable,
        durable_at_fault=seen.durable,
        kept_at_fault=max(memory.kept_at_fault, kept(seen)),
        lost_steps=memory.lost_steps + lost_steps(seen),
    )
    if not fault.exit.retryable:
        return ended(told, "failed", "UserError", now)
    told = dataclasses.replace(told, restarts=min(cost.restarts, plan.max_restarts))
    if cost.restarts > plan.max_restarts:
        return ended(told, "failed", "RestartBudgetSpent", now)
    return next_attempt(told, now, retry_at=now + cost.delay_seconds if cost.delay_seconds else 0.0)
