"""The environment of a node: what an operator, or the local runner, sets for the launcher.

The names of the group are those of torchrun; all others begin with LMTRAINER_.
"""

from __future__ import annotations

import ipaddress
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lmtrainer.contract import VERSION

NODE_RANK = "NODE_RANK"
NNODES = "NNODES"
NPROC_PER_NODE = "NPROC_PER_NODE"
MASTER_ADDR = "MASTER_ADDR"
MASTER_PORT = "MASTER_PORT"
JOB_UID = "LMTRAINER_JOB_UID"
ATTEMPT = "LMTRAINER_ATTEMPT"
CLAIMS = "LMTRAINER_CLAIMS"
STATUS_PORT = "LMTRAINER_STATUS_PORT"
NODE_DIR = "LMTRAINER_NODE_DIR"
TERMINATION_LOG = "LMTRAINER_TERMINATION_LOG"
GRACE_SECONDS = "LMTRAINER_GRACE_SECONDS"
RENDEZVOUS_SECONDS = "LMTRAINER_RENDEZVOUS_SECONDS"
CONTRACT = "LMTRAINER_CONTRACT"
DIE_WITH_PARENT = "LMTRAINER_DIE_WITH_PARENT"
"""Set to 1 by the local runner only: the launcher ends when the process that started it does."""

MAX_PORT = 65535

# Set by the launcher for its ranks, as torchrun does; a user may set none of them.
RANK_NAMES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "ROLE_NAME",
)

RESERVED_NAMES = frozenset({NODE_RANK, NNODES, NPROC_PER_NODE, *RANK_NAMES})
RESERVED_PREFIXES = (
    *("MASTER_", "LOCAL_", "GROUP_", "ROLE_", "TORCHELASTIC_", "PET_"),
    *("LMTRAINER_", "LMJOB_"),
)
FORBIDDEN_PREFIXES = ("LD_", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME")


def is_reserved(name: str) -> bool:
    """Is this a variable of the group, which nobody else may set?"""
    return name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES)


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without anything that would reach into a group that is started in it."""
    return {name: value for name, value in environment.items() if not is_reserved(name)}


@dataclass(frozen=True, kw_only=True)
class NodeEnvironment:
    """What one node is told. Ports may be 0: the launcher takes a free one and announces it
    (`reports.Announcement`)."""

    job_uid: str
    attempt: int
    node_rank: int = 0
    nnodes: int = 1
    nproc_per_node: int = 1
    master_addr: str = "127.0.0.1"
    master_port: int = 29500
    status_port: int = 8080
    claims: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Volume claim -> the folder where this node sees it."""
    node_dir: str = "/run/lmtrainer"
    """The node's own writable folder: reports of ranks, never results."""
    termination_log: str = "/dev/termination-log"
    grace_seconds: float = 30.0
    """Between SIGTERM and SIGKILL of the ranks; shorter than the grace period of the pod."""
    rendezvous_seconds: float = 600.0
    """How long the group may take to form."""

    @property
    def world_size(self) -> int:
        return self.nnodes * self.nproc_per_node

    @property
    def is_master(self) -> bool:
        return self.node_rank == 0


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine only, and so the whole group whose master it is."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def to_env(node: NodeEnvironment) -> dict[str, str]:
    """Variables for the launcher's process."""
    return {
        CONTRACT: str(VERSION),
        NODE_RANK: str(node.node_rank),
        NNODES: str(node.nnodes),
        NPROC_PER_NODE: str(node.nproc_per_node),
        MASTER_ADDR: node.master_addr,
        MASTER_PORT: str(node.master_port),
        JOB_UID: node.job_uid,
        ATTEMPT: str(node.attempt),
        CLAIMS: json.dumps(dict(sorted(node.claims.items()))),
        STATUS_PORT: str(node.status_port),
        NODE_DIR: node.node_dir,
        TERMINATION_LOG: node.termination_log,
        GRACE_SECONDS: str(node.grace_seconds),
        RENDEZVOUS_SECONDS: str(node.rendezvous_seconds),
    }


def from_env(env: Mapping[str, str]) -> NodeEnvironment:
    """Read what `to_env` wrote; ValueError names the variable that is missing or wrong."""
    if env.get(CONTRACT, str(VERSION)) != str(VERSION):
        raise ValueError(
            f"{CONTRACT}: this trainer speaks contract {VERSION}, the job {env[CONTRACT]!r}"
        )
    nnodes = _whole(env, NNODES, 1)
    return NodeEnvironment(
        job_uid=_text(env, JOB_UID),
        attempt=_whole(env, ATTEMPT, 1),
        node_rank=_whole(env, NODE_RANK, 0, nnodes - 1),
        nnodes=nnodes,
        nproc_per_node=_whole(env, NPROC_PER_NODE, 1),
        master_addr=_text(env, MASTER_ADDR),
        master_port=_whole(env, MASTER_PORT, 0, MAX_PORT),
        status_port=_whole(env, STATUS_PORT, 0, MAX_PORT),
        claims=_claims(env),
        node_dir=_text(env, NODE_DIR),
        termination_log=_text(env, TERMINATION_LOG),
        grace_seconds=_seconds(env, GRACE_SECONDS),
        rendezvous_seconds=_seconds(env, RENDEZVOUS_SECONDS),
    )


def _text(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise ValueError(f"{name}: must be set; start nodes through `lmjob run` or the operator")
    return env[name]


def _whole(env: Mapping[str, str], name: str, minimum: int, maximum: int | None = None) -> int:
    text = _text(env, name)
    whole = text.isascii() and text.isdigit() and len(text) < 20
    if not whole or int(text) < minimum or (maximum is not None and int(text) > maximum):
        limit = f">= {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ValueError(f"{name}: must be an integer {limit} (got {text!r})")
    return int(text)


def _seconds(env: Mapping[str, str], name: str) -> float:
    text = _text(env, name)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name}: must be a number of seconds >= 0 (got {text!r})")
    return seconds


def _claims(env: Mapping[str, str]) -> Mapping[str, str]:
    text = env.get(CLAIMS, "{}")
    try:
        claims = json.loads(text)
    except ValueError:
        claims = None
    if not isinstance(claims, dict) or not all(isinstance(f, str) for f in claims.values()):
        raise ValueError(f"{CLAIMS}: must be a JSON object, claim to folder (got {text[:60]!r})")
    return MappingProxyType(claims)
