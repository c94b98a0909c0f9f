"""What this process may use of its machine. The one place that asks; called by the local runner for
its plan and by the preparation of data."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_MEMORY = Path("/sys/fs/cgroup/memory.max")


def usable_cpus() -> int:
    """Whole processors, at least one."""
    return max(1, min(len(os.sched_getaffinity(0)), _quota()))


def usable_memory() -> int:
    """Bytes that the control group of a container grants, at most those of the machine."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(_MEMORY.read_text()))
    except (OSError, ValueError):
        return whole


def _quota() -> int:
    """Whole cores that the control group of a container grants; many if it sets no limit."""
    try:
        share, period = _QUOTA.read_text().split()
        return math.floor(int(share) / int(period)) or 1
    except (OSError, ValueError):
        return os.cpu_count() or 1
