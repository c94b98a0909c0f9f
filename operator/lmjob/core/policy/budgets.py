"""What a fault costs: a restart is charged only when nothing new was made durable since the last
fault, and each charged one waits longer than the one before it."""

from __future__ import annotations

from dataclasses import dataclass

from lmjob.core.fault import Fault
from lmjob.core.memory import Memory
from lmjob.core.observed import Seen
from lmtrainer.contract.reports import Position

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 60.0


@dataclass(frozen=True)
class Charge:
    """What a fault costs. `restarts` is the new sum."""

    restarts: int
    delay_seconds: float


def charge(memory: Memory, seen: Seen, fault: Fault) -> Charge:
    """The price of `fault`; nothing after progress, and nothing for the platform's doing."""
    if fault.disrupted or made_progress(memory, seen):
        return Charge(memory.restarts, 0.0)
    doubled = FIRST_DELAY_SECONDS * 2.0 ** min(memory.restarts, 16)
    return Charge(memory.restarts + 1, min(doubled, LONGEST_DELAY_SECONDS))


def made_progress(memory: Memory, seen: Seen) -> bool:
    """Whether a checkpoint, a part of the dataset, or the end of a program of the user's own became
    durable since the last fault."""
    if kept(seen) > memory.kept_at_fault:
        return True
    found = seen.progress.resumed_from if seen.progress else None
    return _after(seen.durable, memory.durable_at_fault) and _after(seen.durable, found)


def kept(seen: Seen) -> int:
    """How much of its work the stage needs not do again, beside checkpoints."""
    return seen.progress.kept if seen.progress else 0


def lost_steps(seen: Seen) -> int:
    """Steps that the group had done beyond what was durable, as far as they were seen."""
    position = seen.progress.position if seen.progress else None
    if position is None:
        return 0
    same_phase = seen.durable is not None and seen.durable.phase_index == position.phase_index
    return max(0, position.step - (seen.durable.step if seen.durable and same_phase else 0))


def _after(position: Position | None, other: Position | None) -> bool:
    return position is not None and (other is None or position > other)
