"""A group starts and ends as one: what one replica does to the whole attempt.

Each finding is a fault of its own; `cause.first` picks the one that the job is told about.
"""

from __future__ import annotations

from lmjob.core.fault import Fault, FaultReason, plain
from lmjob.core.memory import Memory
from lmjob.core.observed import Replica, Seen
from lmjob.core.plan.shapes import ReplicaKey
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Termination

_REASONS: dict[ExitType, FaultReason] = {
    ExitType.USER_ERROR: "UserError",
    ExitType.DISK_FULL: "DiskFull",
    ExitType.FAILED: "RankFailed",
    ExitType.KILLED: "RankKilled",
    ExitType.HUNG: "RankHung",
    ExitType.FENCED: "Fenced",
    ExitType.RENDEZVOUS_FAILED: "RendezvousFailed",
    ExitType.INTERRUPTED: "Interrupted",
    ExitType.PEER_LOST: "PeerLost",
}

_OWN_FAULTS = (
    ExitType.USER_ERROR,
    ExitType.DISK_FULL,
    ExitType.FAILED,
    ExitType.KILLED,
    ExitType.HUNG,
)


def faults(memory: Memory, seen: Seen, now: float) -> tuple[Fault, ...]:
    """Everything that ends this attempt: a replica that failed, was lost, is ending unasked, is
    absent where it must not be, or is there where it must not be."""
    found = [_fault_of(memory, replica, now) for replica in seen.members]
    found += [
        _fault(memory, key, "ReplicaDeleted", ExitType.INTERRUPTED, "is gone", now)
        for key in _unexpectedly_absent(memory, seen)
    ]
    found += [
        _fault(memory, r.key, "UnexpectedReplica", ExitType.FAILED, f"{r.uid} is one too many", now)
        for r in _doubles(seen)
    ]
    return tuple(fault for fault in found if fault is not None)


def confessions(memory: Memory, seen: Seen, now: float) -> tuple[Fault, ...]:
    """Faults of a group that is being ended: only errors that a launcher itself wrote down count,
    because the ends of the others are our own doing."""
    found = [
        _fault_of(memory, replica, now)
        for replica in seen.members
        if replica.state == "failed" and replica.termination and exit_type(replica) in _OWN_FAULTS
    ]
    return tuple(fault for fault in found if fault is not None)


def lost_nodes(memory: Memory, seen: Seen, now: float) -> tuple[Fault, ...]:
    """Faults of a group that is being ended: nodes that the platform has given up meanwhile. Their
    silence is what the others only felt."""
    found = [_fault_of(memory, r, now) for r in seen.members if r.live and r.cut_off_since]
    return tuple(fault for fault in found if fault is not None)


def exit_type(replica: Replica) -> ExitType:
    """Why an ended replica ended: its last word, or else its exit code."""
    word = replica.termination.exit_type if replica.termination else ""
    if word in ExitType.__members__ and ExitType[word] is not ExitType.SUCCEEDED:
        return ExitType[word]
    if replica.exit_code:
        return ExitType.from_code(replica.exit_code)
    return ExitType.SUCCEEDED if replica.state == "succeeded" else ExitType.KILLED


def _unexpectedly_absent(memory: Memory, seen: Seen) -> tuple[ReplicaKey, ...]:
    if memory.group == "formed":
        return seen.missing
    return (seen.stage.leader.key,) if seen.leader is None and seen.followers else ()


def _doubles(seen: Seen) -> tuple[Replica, ...]:
    """Second incarnations of a replica."""
    return tuple(r for r in seen.members if len({other.uid for other in seen.of(r.key)}) > 1)


def _fault_of(memory: Memory, replica: Replica, now: float) -> Fault | None:
    if replica.state == "lost" or (replica.live and replica.cut_off_since is not None):
        text = "its node does not answer" + (f": {replica.reason}" if replica.reason else "")
        return _fault(memory, replica, "NodeLost", ExitType.KILLED, text, now)
    if replica.state == "terminating":
        text = replica.reason or "is being ended from outside"
        return _fault(memory, replica, "ReplicaDeleted", ExitType.INTERRUPTED, text, now)
    if replica.state == "failed":
        kind = exit_type(replica)
        return _fault(memory, replica, _REASONS[kind], kind, _last_words(replica, kind), now)
    return None


def _last_words(replica: Replica, kind: ExitType) -> str:
    word = replica.termination
    if word is not None and word.failure is not None and word.failure.message:
        return word.failure.message
    return replica.reason or f"ended with {kind.name}"


def _fault(
    memory: Memory,
    whose: Replica | ReplicaKey,
    reason: FaultReason,
    kind: ExitType,
    text: str,
    now: float,
) -> Fault:
    replica = whose if isinstance(whose, Replica) else None
    word: Termination | None = replica.termination if replica else None
    return Fault(
        reason=reason,
        replica=str(replica.key if replica else whose),
        exit_type=kind.name,
        message=plain(text),
        rank=word.failure.rank if word and word.failure else None,
        attempt=memory.attempt,
        stage=memory.stage,
        at=now,
        disrupted=bool(replica and replica.disrupted),
    )
