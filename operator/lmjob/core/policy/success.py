"""Success is a record, not an exit code: what proves that a stage is done, and what comes next."""

from __future__ import annotations

import dataclasses

from lmjob.core.fault import Fault
from lmjob.core.memory import Memory, ended, in_stage
from lmjob.core.observed import Seen
from lmjob.core.plan.shapes import JobPlan
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Completion


def proven(plan: JobPlan, seen: Seen) -> bool:
    """The leader ended with exit code 0 and its completion record is this stage's."""
    leader = seen.leader
    if leader is None or leader.state != "succeeded" or leader.termination is None:
        return False
    return not flaw(plan, seen, leader.termination.completion)


def flaw(plan: JobPlan, seen: Seen, record: Completion | None) -> str:
    """What keeps a record from proving that the stage is done; empty if nothing does."""
    if record is None:
        return "there is none"
    checks = {
        "it proves no success": record.proves_success,
        f"its stage is {record.stage}": record.stage == seen.stage.name,
        "its configuration is another": record.config_hash == plan.config_hash,
        "its job is another": record.job_uid == plan.job.uid,
        f"it ends at {record.target}, not at {seen.stage.target}": seen.stage.target is None
        or record.target == seen.stage.target,
    }
    return next((fault for fault, holds in checks.items() if not holds), "")


def unproven(plan: JobPlan, memory: Memory, seen: Seen, now: float) -> tuple[Fault, ...]:
    """A leader that ended with exit code 0 and proves nothing is a fault."""
    leader = seen.leader
    if leader is None or leader.state != "succeeded":
        return ()
    record = leader.termination.completion if leader.termination else None
    fault = Fault(
        reason="NoCompletionRecord",
        replica=str(leader.key),
        exit_type=ExitType.FAILED.name,
        message=f"exit code 0 without a valid completion record: {flaw(plan, seen, record)}",
        attempt=memory.attempt,
        stage=memory.stage,
        at=now,
    )
    return (fault,)


def after_stage(plan: JobPlan, memory: Memory, seen: Seen, now: float) -> Memory:
    """The next stage behind its gate, or the end of the job. Where training ended is noted: nobody
    of the next stage tells it."""
    memory = dataclasses.replace(memory, durable=seen.durable)
    names = [stage.name for stage in plan.stages]
    following = names[names.index(memory.stage) + 1 :]
    if following:
        return in_stage(memory, following[0], now)
    return ended(memory, "complete", "AllStagesDone", now)
