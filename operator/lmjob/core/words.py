"""How positions, faults and times are said, in status, events and the terminal."""

from __future__ import annotations

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


def duration_words(seconds: float | None) -> str | None:
    """ "45s", "3m20s", "2h5m", "4d3h": two units are enough to wait by."""
    if seconds is None:
        return None
    whole = max(0, round(seconds))
    for size, unit, smaller, small in _UNITS:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}" + (f"{rest}{small}" if rest else "")
    return f"{whole}s"


_UNITS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def timestamp(seconds: float) -> str:
    """Unix time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    days, rest = divmod(int(seconds), _DAY)
    year, month, day = _civil(days)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}Z"


_DAY = 86_400
_ERA = 146_097
"""Days of 400 years."""


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day after 1970-01-01, in the Gregorian calendar (H. Hinnant,
    "chrono-Compatible Low-Level Date Algorithms": years that begin in March)."""
    era, of_era = divmod(days + 719_468, _ERA)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1
