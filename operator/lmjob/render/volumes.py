"""Folders of a pod: the volume claims of a run, and the pod's own.

What is written, and by whom, follows from the trainer: the output by every stage's leader, the
shared cache of datasets by the stage prepare alone (`lmtrainer.dataset.prepare`). Every node of
that stage leaves parts where the dataset will lie.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmjob.core.plan import JobPlan
from lmjob.core.plan.outline import claims_of
from lmjob.core.plan.shapes import ReplicaPlan
from lmtrainer.config import CommandConfig, Work
from lmtrainer.config.places import volume_claims, written_places
from lmtrainer.config.sources import claims

CLAIMS_FOLDER = "/mnt/claims"
CONFIG_FOLDER = "/etc/lmtrainer"
CONFIG_FILE = "config.json"
PLAN_FILE = "plan.json"
NODE_FOLDER = "/run/lmtrainer"
TMP_FOLDER = "/tmp"
SHM_FOLDER = "/dev/shm"
TERMINATION_LOG = "/dev/termination-log"

USER = 65532
"""User and group of every process of a job, and group of what it writes into volumes."""


@dataclass(frozen=True, kw_only=True)
class ClaimMount:
    """A volume claim as a pod sees it."""

    volume: str
    """Name of the volume in the pod; a claim's own name may have dots, a volume's may not."""
    claim: str
    folder: str
    mount_read_only: bool
    volume_read_only: bool
    """Nobody of the job writes there, so the volume itself may be attached read-only."""


def claim_mounts(plan: JobPlan, replica: ReplicaPlan) -> tuple[ClaimMount, ...]:
    """Every claim of a job as the pod of a replica mounts it."""
    only_read, _ = claims_of(plan)
    written = _written(plan.run, replica)
    return tuple(
        ClaimMount(
            volume=f"claim-{index}",
            claim=claim,
            folder=f"{CLAIMS_FOLDER}/{claim}",
            mount_read_only=claim not in written,
            volume_read_only=claim in only_read,
        )
        for index, claim in enumerate(volume_claims(plan.run))
    )


def _written(run: Work, replica: ReplicaPlan) -> tuple[str, ...]:
    """Claims that a node writes to: a program of the user's own may do so on every one, each node
    that prepares leaves parts beside the dataset, and each process of a sharded run saves its own
    part."""
    role = replica.role
    if isinstance(run, CommandConfig) or (role == "prepare" and replica.node_rank == 0):
        return claims(written_places(run))
    if role == "prepare":
        return claims([run.data.cache or run.output.to])
    writes = role in ("master", "evaluate") or run.parallel.strategy == "fsdp"
    return claims([run.output.to]) if writes else ()
