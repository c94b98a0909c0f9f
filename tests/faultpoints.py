"""At which of many like points a fault is tried: some of them, or all in `make chaos`."""

from __future__ import annotations

import os
from collections.abc import Iterable

ALL = os.environ.get("LMJOB_CHAOS", "") == "full"


def points(every: Iterable[int], sample: Iterable[int]) -> list[int]:
    """`sample`, or all of `every` with LMJOB_CHAOS=full."""
    return list(every if ALL else sample)
