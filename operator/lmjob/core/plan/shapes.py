"""The shapes of a plan. A plan is frozen at the first claim: it prints as a document
(`lmtrainer.config.document`) and reads back equal (`lmtrainer.config.parse`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lmjob.api.names import Role as Role
from lmjob.api.spec.pods import PodSettings
from lmjob.api.spec.variables import SecretKey
from lmtrainer.config import CommandConfig, ResolvedRun, config_hash
from lmtrainer.config.schema import setting
from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.reports import Position


@dataclass(frozen=True, kw_only=True)
class JobIdentity:
    """Which job. The uid is Kubernetes', or the local runner's: unique in time, unlike the name."""

    name: str
    namespace: str
    uid: str


@dataclass(frozen=True, kw_only=True)
class ReplicaPlan:
    """One node of a stage: a pod, or a local process group."""

    role: Role
    index: int
    """Within its role: worker 0 has node rank 1, for the master has 0."""
    node_rank: int
    processes: int
    """Ranks on this node."""
    env: Mapping[str, str] = setting(dict, "the user's own variables, taken literally")

    @property
    def key(self) -> ReplicaKey:
        return ReplicaKey(self.role, self.index)


@dataclass(frozen=True, order=True)
class ReplicaKey:
    """Which replica of an attempt."""

    role: Role
    index: int

    def __str__(self) -> str:
        return f"{self.role}-{self.index}"


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """Replicas that start, succeed and fail as one. The first one leads: it hosts the rendezvous,
    the others start after it is ready, and its completion record is the stage's."""

    name: Stage
    replicas: tuple[ReplicaPlan, ...]
    target: Position | None = None
    """Where training must end; None where only the data can tell (epochs) or nothing is trained."""

    @property
    def leader(self) -> ReplicaPlan:
        return self.replicas[0]

    @property
    def followers(self) -> tuple[ReplicaPlan, ...]:
        return self.replicas[1:]

    @property
    def world_size(self) -> int:
        return sum(replica.processes for replica in self.replicas)


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """Everything that was decided about a job when it was claimed."""

    version: int = 1
    job: JobIdentity
    image: str
    run: ResolvedRun | CommandConfig
    """What the nodes are to do. Resolved: no "auto" is left in it."""
    stages: tuple[StagePlan, ...]
    pods: Mapping[str, PodSettings] = setting(
        lambda: MappingProxyType({}), "role -> its pods, all blocks of the specification merged"
    )
    """Once for each role and not for each replica: a plan of 4096 workers must still fit into one
    object of Kubernetes."""
    secrets: Mapping[str, Mapping[str, SecretKey]] | None = None
    """role -> variable -> where the kubelet finds its value; None: no role has any."""
    startup_seconds: float | None = None
    """Within which a group must form; None: it may wait for ever for nodes and images."""
    max_restarts: int
    grace_seconds: float
    plan_hash: str = ""
    """sha256 of this document without this field."""

    @property
    def config_hash(self) -> str:
        """Of the run, frozen with it: what a completion record must carry."""
        return config_hash(self.run)

    def secrets_of(self, role: Role) -> Mapping[str, SecretKey]:
        """The variables of a role's pods that come out of a Secret."""
        return (self.secrets or {}).get(role, {})

    def stage(self, name: Stage) -> StagePlan:
        return next(stage for stage in self.stages if stage.name == name)
