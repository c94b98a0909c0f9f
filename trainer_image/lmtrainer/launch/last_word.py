"""The termination message of a node: the verdict on its ranks, and what the stage left. Caller:
`node`, when no rank is left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.contract.reports import Failure, Termination
from lmtrainer.faults import HungRankError
from lmtrainer.launch.folder import current_progress, read_completion
from lmtrainer.launch.peers import exit_type_of
from lmtrainer.launch.verdict import Ending, Situation, judge

MAX_REASON = 1000
"""Longest failure that is printed, in characters."""


def termination(
    node: NodeEnvironment,
    stage: Stage,
    endings: Sequence[Ending],
    *,
    interrupted: bool,
    error: BaseException | None,
) -> Termination:
    """Why the node ended. `interrupted`: a signal began it; `error`: the launcher's own."""
    completion, completion_fault = read_completion(Path(node.node_dir))
    situation = Situation(
        leads=node.is_master,
        interrupted=interrupted,
        grace_seconds=node.grace_seconds,
        completion=completion,
        completion_fault=completion_fault,
        fault=None if error is None else (exit_type_of(error), _own_failure(error)),
    )
    exit_type, failure = judge(endings, situation)
    return Termination(
        job_uid=node.job_uid,
        attempt=node.attempt,
        stage=stage,
        node_rank=node.node_rank,
        exit_type=exit_type.name,
        failure=failure,
        completion=completion,
        durable=current_progress(node, stage, {}).durable,
    )


def reason(word: Termination) -> str:
    """The failure as the end of a sentence."""
    return f": {word.failure.message[:MAX_REASON]}" if word.failure else ""


def _own_failure(error: BaseException) -> Failure:
    rank = error.rank if isinstance(error, HungRankError) else None
    return Failure(message=str(error), exception=type(error).__name__, rank=rank)
