"""Names and limits of the API, each in one place. Names of children are computed, never random."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

from lmjob import __version__

GROUP = "lmtraining.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "LMTrainingJob"

MAX_REPLICAS = 4096
"""Most workers of a job."""

MAX_PREPARE_REPLICAS = 64
"""Most nodes that make a dataset together; text is cut into some hundred parts."""

MAX_ATTEMPTS = 9999
"""Attempts that a name has room for."""

MAX_LABEL = 63
"""Longest host name, label value and Service name in Kubernetes."""

PLURAL = "lmtrainingjobs"
SINGULAR = "lmtrainingjob"
SHORT_NAME = "lmj"

MANAGER = "lmjob-operator"
"""Field manager, event source and value of the managed-by label."""

DEFAULT_TRAINER_IMAGE = f"lmtrainer:{__version__}"
"""Image of the pods of a job that names none, unless the operator was told of another."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_JOB = f"{GROUP}/job-name"
LABEL_UID = f"{GROUP}/job-uid"
LABEL_ATTEMPT = f"{GROUP}/attempt"
LABEL_ROLE = f"{GROUP}/role"
LABEL_INDEX = f"{GROUP}/index"
LABEL_NODE_RANK = f"{GROUP}/node-rank"
"""0 for the leader of a stage, whatever its role."""

MASTER_PORT = 29500
STATUS_PORT = 8080

Role = Literal["prepare", "master", "worker", "evaluate"]
ROLES: tuple[Role, ...] = get_args(Role)

_HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes: a hash spells no word."""
_HASH_LENGTH = 5


def replica_name(job_name: str, uid: str, attempt: int, role: Role, index: int) -> str:
    """The name of a replica's pod. Another job of the same name has another uid, so the names of
    its children differ: nothing of a deleted job can be taken for its own."""
    return job_name + _suffix(uid_hash(uid), attempt, role, index)


def service_name(job_name: str, uid: str) -> str:
    """The name of a job's headless Service, and so the host name of the leader of every stage."""
    return f"{job_name}-{uid_hash(uid)}"


def plan_name(job_name: str, uid: str) -> str:
    """The name of the ConfigMap that holds a job's frozen plan."""
    return f"{job_name}-{uid_hash(uid)}-plan"


def uid_hash(uid: str) -> str:
    """Five letters that stand for a uid (1 in 14 million equal by chance)."""
    number = int.from_bytes(hashlib.sha256(uid.encode()).digest())
    letters = []
    for _ in range(_HASH_LENGTH):
        number, rest = divmod(number, len(_HASH_ALPHABET))
        letters.append(_HASH_ALPHABET[rest])
    return "".join(letters)


def _suffix(hashed: str, attempt: int, role: Role, index: int) -> str:
    return f"-{hashed}-{attempt}-{role}-{index}"


def _longest_suffix() -> int:
    last: dict[Role, int] = {"worker": MAX_REPLICAS - 1, "prepare": MAX_PREPARE_REPLICAS - 1}
    hashed = uid_hash("")
    return max(len(_suffix(hashed, MAX_ATTEMPTS, role, last.get(role, 0))) for role in ROLES)


MAX_JOB_NAME = MAX_LABEL - _longest_suffix()
"""Longest name of a job: the longest name of a child still fits a host name."""
