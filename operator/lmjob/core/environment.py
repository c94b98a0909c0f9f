"""What a node of an attempt is told: the environment of its launcher, whatever the backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lmjob.core.plan.shapes import JobPlan, ReplicaPlan, StagePlan
from lmtrainer.contract.environment import NodeEnvironment, to_env

PATIENCE_SECONDS = 604_800.0
"""How long a node waits for its group where the job sets no bound."""

LAUNCHER_SHARE = 0.8
"""Of the grace period: the launcher must end its ranks before it is killed itself."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a node runs: what only the backend knows of it. Port 0: take a free one."""

    master_addr: str
    master_port: int
    status_port: int
    node_dir: str
    termination_log: str
    claims: Mapping[str, str]
    """Volume claim -> folder."""


def node_environment(
    plan: JobPlan, stage: StagePlan, replica: ReplicaPlan, attempt: int, place: Place
) -> NodeEnvironment:
    """The contract's part of the environment of `replica` in an attempt."""
    return NodeEnvironment(
        job_uid=plan.job.uid,
        attempt=attempt,
        node_rank=replica.node_rank,
        nnodes=len(stage.replicas),
        nproc_per_node=replica.processes,
        master_addr=place.master_addr,
        master_port=place.master_port,
        status_port=place.status_port,
        claims=place.claims,
        node_dir=place.node_dir,
        termination_log=place.termination_log,
        grace_seconds=LAUNCHER_SHARE * plan.grace_seconds,
        rendezvous_seconds=(
            PATIENCE_SECONDS if plan.startup_seconds is None else plan.startup_seconds
        ),
    )


def variables(replica: ReplicaPlan, node: NodeEnvironment) -> dict[str, str]:
    """All variables that a backend sets: the user's own never win over the contract's."""
    return {**replica.env, **to_env(node)}
