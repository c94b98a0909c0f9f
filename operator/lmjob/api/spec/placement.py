"""Where and how a job runs, whatever it does: image, nodes, policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lmjob.api.names import Role
from lmjob.api.spec.pods import PodFields
from lmjob.api.spec.roles import FailurePolicy, StartupPolicy, WorkersRole
from lmjob.api.spec.syntax import IMAGE, IMAGE_HELP
from lmtrainer.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What every specification says, beside what is to be done."""

    image: str | None = setting(
        None,
        "image of every pod; left out, the operator's setting",
        pattern=IMAGE,
        pattern_help=IMAGE_HELP,
        way_out="write registry/name:tag, such as example.org/lmtrainer:0.1.0",
    )
    suspend: bool = setting(False, "true: no pods until it is false")
    processes_per_node: int | Literal["auto"] = setting(
        "auto", "ranks of a node; auto: its GPUs, else 1", minimum=1, maximum=1024
    )
    pods: PodFields = setting(PodFields, "fields of every pod of the job")
    master: PodFields = setting(PodFields, "node 0 of the training group")
    workers: WorkersRole = setting(WorkersRole, "the other nodes of the training group")
    startup: StartupPolicy = setting(StartupPolicy, "how long a group may take to form")
    failure_policy: FailurePolicy = setting(FailurePolicy, "what follows a fault")
    termination_grace_period_seconds: int = setting(
        60,
        "between the request to end and the end: a checkpoint is saved in it",
        minimum=10,
        maximum=86_400,
    )

    @property
    def blocks(self) -> Mapping[Role, PodFields]:
        """The block of each role that the job can have."""
        return {"master": self.master, "worker": self.workers}
