"""A fault: why an attempt ended, in a closed set of reasons. Policies make them, memory keeps the
first cause, reports tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.scalars import CONTROL
from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.exits import ExitType

FaultReason = Literal[
    "UserError",
    "DiskFull",
    "RankFailed",
    "RankKilled",
    "RankHung",
    "NoCompletionRecord",
    "NodeLost",
    "ReplicaDeleted",
    "UnexpectedReplica",
    "StartupTimeout",
    "Fenced",
    "RendezvousFailed",
    "Interrupted",
    "PeerLost",
]

MAX_MESSAGE = 1000
"""Longest message that is kept, in characters."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What ended an attempt, seen from the replica where it began."""

    reason: FaultReason
    replica: str = ""
    """Such as "worker-0"; empty if it is the whole group's."""
    exit_type: str = ExitType.FAILED.name
    message: str = ""
    rank: int | None = None
    """Over all processes of the group, if one process was the first to fail."""
    attempt: int = 0
    stage: Stage = "train"
    at: float = 0.0
    """Unix time at which it was seen."""
    disrupted: bool = False
    """The platform's doing; never charged."""

    @property
    def exit(self) -> ExitType:
        return ExitType[self.exit_type] if self.exit_type in ExitType.__members__ else _UNKNOWN


_UNKNOWN = ExitType.FAILED


def plain(text: str) -> str:
    """A message from outside, as a document may hold it: no control characters, bounded."""
    clean = CONTROL.sub(" ", text).strip()
    return clean if len(clean) <= MAX_MESSAGE else clean[:MAX_MESSAGE] + "..."
