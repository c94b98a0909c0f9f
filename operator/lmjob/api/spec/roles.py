"""The blocks of a specification that speak of one role, and the job's own policies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lmjob.api.names import MAX_PREPARE_REPLICAS, MAX_REPLICAS
from lmjob.api.spec.pods import PodFields
from lmtrainer.config.evaluation import EvaluateConfig
from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class WorkersRole(PodFields):
    """The nodes of the training group beside the master."""

    replicas: int = setting(
        0,
        "nodes beside the master",
        minimum=0,
        maximum=MAX_REPLICAS,
        way_out=f"0 is a job of the master alone, {MAX_REPLICAS} the most",
    )


@dataclass(frozen=True, kw_only=True)
class PrepareRole(PodFields):
    """The nodes that make tokenizer and dataset."""

    replicas: int = setting(
        1,
        "nodes that make the dataset together",
        minimum=1,
        maximum=MAX_PREPARE_REPLICAS,
        way_out=f"1 is a node alone, {MAX_PREPARE_REPLICAS} the most",
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateRole(EvaluateConfig, PodFields):
    """What is measured, and the pod that does it at the end."""

    def mistakes(self) -> Iterator[Mistake]:
        yield from EvaluateConfig.mistakes(self)
        yield from PodFields.mistakes(self)


@dataclass(frozen=True, kw_only=True)
class StartupPolicy:
    """How long a group may take to form."""

    timeout_seconds: int | None = setting(
        None,
        "from the first pod of a group to a formed group; left out, pods may wait for ever for "
        "nodes and images",
        minimum=1,
        maximum=604_800,
    )


@dataclass(frozen=True, kw_only=True)
class FailurePolicy:
    """What follows a fault that is not the user's mistake."""

    max_restarts: int = setting(
        3, "attempts that may fail without new durable work", minimum=0, maximum=1000
    )
