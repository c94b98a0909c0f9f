"""What a backend saw of a job, as plain values, and the same sorted for the policies.

A backend (`lmjob.local`, the cluster) makes an `Observed` afresh in every pass; `decide` sorts it.
A replica that is absent is simply not listed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lmjob.core.memory import Memory
from lmjob.core.plan.shapes import JobPlan, ReplicaKey, StagePlan
from lmtrainer.contract.reports import Position, Progress, Termination

ReplicaState = Literal["pending", "starting", "ready", "succeeded", "failed", "terminating", "lost"]
"""pending: asked for, no process yet. starting: a process that is not ready. ready: its launcher
said so for this attempt. succeeded, failed: ended with exit code 0 or another, for certain.
terminating: asked to end and not gone yet. lost: nobody can say whether it still runs."""


StuckReason = Literal["Unschedulable", "ImagePull", "Volume", "PodConfiguration"]
"""Why a replica that is asked for does not start; someone has to help, or wait."""

ObstacleReason = Literal[
    "VolumeNotFound", "VolumeNotShared", "OutputInUse", "QuotaExceeded", "PodRefused"
]


@dataclass(frozen=True)
class Obstacle:
    """Why nothing can be created for the job now."""

    reason: ObstacleReason
    message: str


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One incarnation of a replica. Identity is the uid, never the name."""

    key: ReplicaKey
    attempt: int
    uid: str
    state: ReplicaState
    reason: str = ""
    """The backend's word for the state, for people: "ImagePullBackOff", "killed by signal 9"."""
    stuck: StuckReason | None = None
    exit_code: int | None = None
    """Of the launcher; negative for a signal."""
    termination: Termination | None = None
    created_at: float = 0.0
    """Unix time."""
    disrupted: bool = False
    """The platform ended it (drain, preemption, the local runner's own end): never charged."""
    ending_by: float | None = None
    """Unix time at which its grace period is over, once it was asked to end."""
    cut_off_since: float | None = None
    """Unix time since which its node is given up by the platform: nobody there obeys."""

    @property
    def live(self) -> bool:
        """May still run: only an exit that was seen ends a replica."""
        return self.state not in ("succeeded", "failed")


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything that a pass looks at."""

    replicas: tuple[Replica, ...] = ()
    progress: Progress | None = None
    """Of the leader, as new as the backend has it."""
    suspend: bool = False
    """The user wants the job to rest: spec.suspend, or Ctrl-C."""
    obstacle: Obstacle | None = None

    @property
    def live(self) -> tuple[Replica, ...]:
        return tuple(replica for replica in self.replicas if replica.live)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An observation sorted by what the memory says about it."""

    stage: StagePlan
    members: tuple[Replica, ...]
    """Of the current attempt and stage, live or ended, in the order of their node ranks."""
    strays: tuple[Replica, ...]
    """Live, but of another attempt or stage: they must be gone before anything is created."""
    progress: Progress | None
    """Of the current attempt and stage only."""
    durable: Position | None
    """The newest durable position that anybody told of; never older than the memory's."""

    def of(self, key: ReplicaKey) -> tuple[Replica, ...]:
        return tuple(replica for replica in self.members if replica.key == key)

    @property
    def leader(self) -> Replica | None:
        return next(iter(self.of(self.stage.leader.key)), None)

    @property
    def followers(self) -> tuple[Replica, ...]:
        return tuple(r for r in self.members if r.key != self.stage.leader.key)

    @property
    def missing(self) -> tuple[ReplicaKey, ...]:
        """Keys of the stage that have no replica in this attempt, in order."""
        present = {replica.key for replica in self.members}
        return tuple(r.key for r in self.stage.replicas if r.key not in present)

    @property
    def live(self) -> tuple[Replica, ...]:
        return (*(replica for replica in self.members if replica.live), *self.strays)


def sort(plan: JobPlan, memory: Memory, observed: Observed) -> Seen:
    """Sort an observation into the current group and what does not belong to it."""
    stage = plan.stage(memory.stage)
    order = {replica.key: replica.node_rank for replica in stage.replicas}
    current = [r for r in observed.replicas if r.attempt == memory.attempt and r.key in order]
    others = [r for r in observed.live if r not in current]
    members = sorted((_checked(plan, r) for r in current), key=lambda r: order[r.key])
    progress = observed.progress
    if progress and (progress.attempt, progress.stage) != (memory.attempt, memory.stage):
        progress = None
    words = [r.termination.durable for r in members if r.termination is not None]
    return Seen(
        stage=stage,
        members=tuple(members),
        strays=tuple(others),
        progress=progress,
        durable=_newest((memory.durable, progress.durable if progress else None, *words)),
    )


def _checked(plan: JobPlan, replica: Replica) -> Replica:
    """Without a termination message that another run or attempt left behind."""
    word = replica.termination
    if word is None or (word.job_uid, word.attempt) == (plan.job.uid, replica.attempt):
        return replica
    return dataclasses.replace(replica, termination=None)


def _newest(positions: Iterable[Position | None]) -> Position | None:
    return max((p for p in positions if p is not None), default=None)
