"""What a run does when its loss stops being a number, or leaps."""

from __future__ import annotations

from dataclasses import dataclass

from lmtrainer.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class DivergenceConfig:
    """Back to the last good checkpoint, and on behind the batches that led there, as was done for
    PaLM (Chowdhery et al. 2022, arXiv 2204.02311, section 5.1)."""

    max_rollbacks: int = setting(
        3, "returns to one checkpoint before the run fails", minimum=0, maximum=100
    )
    spike_deviations: float = setting(
        10.0, "robust deviations above the median that are a spike; 0: none", minimum=0, maximum=1e6
    )
