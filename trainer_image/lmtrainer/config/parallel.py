"""How the processes of a group share the work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lmtrainer.config.schema import setting

Strategy = Literal["ddp", "zero1", "fsdp"]


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """Each process computes its part of the batch; what it holds of the state differs. Rajbhandari
    et al. 2020, "ZeRO" (arXiv 1910.02054); Zhao et al. 2023, "PyTorch FSDP" (arXiv 2304.11277)."""

    strategy: Strategy = setting(
        "ddp", "a process holds: ddp: all; zero1: a part of the moments; fsdp: of everything"
    )


THREADS: Mapping[str, Any] = {
    "help": "CPU threads of one process; results are bit-equal only for the same number",
    "minimum": 1,
}
"""The field `threads_per_process` of whatever a group can be asked to do."""
