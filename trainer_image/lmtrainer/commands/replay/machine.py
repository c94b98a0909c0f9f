"""What a run is told of this machine: its cores, and whether there is a GPU."""

from __future__ import annotations

import os
from pathlib import Path

from lmtrainer.contract.machine import usable_cpus


def threads_of(processes: int) -> int:
    """CPU threads of each of so many processes, at least one."""
    return max(1, usable_cpus() // processes)


def automatic_precision() -> str:
    """What precision auto means here: bf16 where a GPU is seen."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    has_gpu = Path("/proc/driver/nvidia/gpus").is_dir() and seen != ""
    return "bf16" if has_gpu else "fp32"
