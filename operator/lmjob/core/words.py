"""How positions, faults and times are said, in status, events and the terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from lmjob.core.fault import Fault
from lmtrainer.contract.reports import Position


def position_words(position: Position | None) -> str:
    """ "phase main step 200", or "the beginning"."""
    if position is None:
        return "the beginning"
    return f"phase {position.phase or position.phase_index} step {position.step}"


def fault_words(fault: Fault) -> str:
    """One line: where and what."""
    rank = f" rank {fault.rank}" if fault.rank is not None else ""
    where = f"{fault.replica}{rank}: " if fault.replica else ""
    return f"{where}{fault.message or fault.reason}"


def timestamp(seconds: float) -> str:
    """Unix time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
