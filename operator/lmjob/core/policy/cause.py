"""The first cause: which of the faults of a group made the others."""

from __future__ import annotations

from collections.abc import Iterable

from lmjob.core.fault import Fault, FaultReason

_STRENGTH: tuple[tuple[FaultReason, ...], ...] = (
    ("UserError",),
    ("DiskFull",),
    ("RankKilled", "RankHung", "NoCompletionRecord"),
    ("RankFailed",),
    ("NodeLost", "ReplicaDeleted", "UnexpectedReplica", "StartupTimeout"),
    ("Fenced", "RendezvousFailed"),
    ("Interrupted",),
    ("PeerLost",),
)
"""From what is never an echo of another fault to what always is one."""


ECHO_SECONDS = 2.0
"""For so long the others may tell a better cause than an echo before they are asked to end: a node
that was asked to end tells no cause any more."""


def strength(fault: Fault) -> int:
    """Place in the order of causes; the smaller, the less it can be an echo."""
    return next(place for place, reasons in enumerate(_STRENGTH) if fault.reason in reasons)


def first(faults: Iterable[Fault]) -> Fault | None:
    """The strongest cause; of equals the first in the order given."""
    return min(faults, key=strength, default=None)


def spared_until(fault: Fault | None, since: float) -> float:
    """Until when the rest of a failing group is left alone; `since` is when it began to fail."""
    return since + ECHO_SECONDS if fault is not None and fault.reason == "PeerLost" else since
