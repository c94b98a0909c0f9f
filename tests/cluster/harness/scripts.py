"""Scripts: what the pods of a test do, as values. The scripted kubelet plays them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lmjob.core.plan.shapes import JobPlan, StagePlan
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Completion, Failure, Position, Termination, dump


@dataclass(frozen=True, kw_only=True)
class Script:
    """What one pod does; times in seconds, None: never."""

    starts_after: float | None = 0.0
    """After it was bound: Running."""
    ready_after: float | None = 0.0
    """After it runs."""
    runs: float | None = 0.3
    """After its whole group is Ready, as training does."""
    exit_type: ExitType = ExitType.SUCCEEDED
    ends_after: float | None = 0.05
    """After its deletion was asked for; None: its node is dead."""


SUCCEEDS = Script()

Part = tuple[str, int, int]
"""Role, index, attempt."""

Play = Callable[[Part], Script]


def play(scripts: Mapping[Part, Script] | None = None) -> Play:
    """Everything succeeds but for the parts that have a script of their own."""
    own = dict(scripts or {})
    return lambda part: own.get(part, SUCCEEDS)


def last_word(plan: JobPlan, stage: StagePlan, part: Part, kind: ExitType) -> str:
    """The termination message of a pod that ends like this; a leader's success is proven."""
    role, index, attempt = part
    rank = next(r.node_rank for r in stage.replicas if (r.role, r.index) == (role, index))
    proof = None
    if kind is ExitType.SUCCEEDED and rank == 0:
        proof = completion(plan, stage, attempt)
    failure = None
    if kind not in (ExitType.SUCCEEDED, ExitType.INTERRUPTED):
        failure = Failure(message=f"scripted {kind.name}", rank=rank, exit_code=kind.code)
    return dump(
        Termination(
            job_uid=plan.job.uid,
            attempt=attempt,
            stage=stage.name,
            node_rank=rank,
            exit_type=kind.name,
            failure=failure,
            completion=proof,
        )
    )


def completion(plan: JobPlan, stage: StagePlan, attempt: int) -> Completion:
    """What proves that a stage is done."""
    end = stage.target or Position(phase_index=0, step=0)
    return Completion(
        stage=stage.name,
        job_uid=plan.job.uid,
        attempt=attempt,
        config_hash=plan.config_hash,
        position=end,
        target=end,
        manifest_sha256="ab" * 32,
    )
