"""Facts about this machine that a plan must know."""

from __future__ import annotations

import math
import os
from pathlib import Path

from lmjob.core.plan import Facts

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def machine_facts() -> Facts:
    """Of this machine, as far as this process may use it."""
    return Facts(cpus=max(1, min(len(os.sched_getaffinity(0)), _quota())))


def _quota() -> int:
    """Whole cores that the control group of a container grants; many if it sets no limit."""
    try:
        share, period = _QUOTA.read_text().split()
        return math.floor(int(share) / int(period)) or 1
    except (OSError, ValueError):
        return os.cpu_count() or 1
