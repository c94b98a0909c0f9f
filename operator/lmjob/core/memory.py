"""What was claimed about a job: the only state that a controller keeps, and its transitions.

A backend stores it with compare-and-swap before anything is done in its name, so a controller may
die between any two steps. It prints as a document (`lmtrainer.config.document`) and reads back
equal (`lmtrainer.config.parse`). Only `decide` and the policies make new ones.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from lmjob.api.names import MAX_ATTEMPTS
from lmjob.core.fault import Fault
from lmtrainer.config.schema import setting
from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.reports import Position

GroupState = Literal["gated", "formed", "failing", "suspending"]
"""Of the current attempt. gated: the leader comes first, the followers once it is ready (that they
exist says that the gate was open). formed: all were ready, so one that is absent was lost. failing,
suspending: the group is being ended; the next attempt may be claimed when nothing of it is live."""

Outcome = Literal["complete", "failed", "suspended"]

OutcomeReason = Literal["AllStagesDone", "UserError", "RestartBudgetSpent", "Suspended"]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Claims about a job. Times are Unix times of the claims."""

    version: int = 1
    attempt: int = setting(0, "0: never begun", minimum=0, maximum=MAX_ATTEMPTS)
    """1 and more once begun; grows over the whole job, never shrinks, is kept by a new stage."""
    stage: Stage = "prepare"
    group: GroupState = "gated"
    restarts: int = 0
    """Faults charged to maxRestarts."""
    retry_at: float = 0.0
    """Nothing of this attempt is created earlier."""
    outcome: Outcome | None = None
    """complete and failed are left by nothing; suspended by the end of the suspension."""
    outcome_reason: OutcomeReason | None = None
    last_fault: Fault | None = None
    durable: Position | None = None
    """The newest durable checkpoint that was noted; never decreases."""
    durable_at_fault: Position | None = None
    """What was durable at the last fault: more than this is progress."""
    kept_at_fault: int = 0
    """The same of what makes no checkpoints: `Progress.kept`."""
    lost_steps: int = 0
    """Optimizer steps done and not durable at faults, summed up, as far as they were seen."""
    noted_at: float = 0.0
    """When `durable` was noted last."""
    started_at: float = 0.0
    attempt_started_at: float = 0.0
    stage_started_at: float = 0.0
    group_since: float = 0.0
    """When `group` was claimed."""
    finished_at: float | None = None

    @property
    def final(self) -> bool:
        """Left by nothing."""
        return self.outcome in ("complete", "failed")

    @property
    def ending(self) -> bool:
        """The group of this attempt is on its way out."""
        return self.group in ("failing", "suspending")


def in_group(memory: Memory, group: GroupState, now: float) -> Memory:
    return dataclasses.replace(memory, group=group, group_since=now)


def in_stage(memory: Memory, stage: Stage, now: float) -> Memory:
    """The next stage in the same attempt, behind its own gate."""
    return dataclasses.replace(
        memory, stage=stage, group="gated", group_since=now, stage_started_at=now, kept_at_fault=0
    )


def next_attempt(memory: Memory, now: float, *, retry_at: float = 0.0) -> Memory:
    """One attempt more, behind its gate, in the stage where the last one stood."""
    return dataclasses.replace(
        memory,
        attempt=memory.attempt + 1,
        group="gated",
        retry_at=retry_at,
        outcome=None,
        outcome_reason=None,
        finished_at=None,
        started_at=memory.started_at or now,
        attempt_started_at=now,
        stage_started_at=now,
        group_since=now,
    )


def failing(memory: Memory, fault: Fault, now: float) -> Memory:
    """This attempt is over; `fault` is the best cause that is known so far."""
    return dataclasses.replace(memory, group="failing", group_since=now, last_fault=fault)


def ended(memory: Memory, outcome: Outcome, reason: OutcomeReason, now: float) -> Memory:
    return dataclasses.replace(
        memory, outcome=outcome, outcome_reason=reason, finished_at=now, group_since=now
    )
