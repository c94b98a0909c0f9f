"""Which optimizer moves the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter, arXiv 1711.05101), Adam (arXiv 1412.6980) or LAMB (You et al.,
    arXiv 1904.00962); biases and norms are not decayed."""

    type: Literal["adamw", "adam", "lamb"] = setting("adamw", "algorithm")
    weight_decay: float | None = setting(
        None, "decoupled weight decay; left out, 0.01, and 0 for adam", minimum=0
    )
    beta1: float = setting(0.9, "decay of the first moment", minimum=0, below=1)
    beta2: float = setting(0.999, "decay of the second moment", minimum=0, below=1)
    epsilon: float = setting(1e-8, "added to the root of the second moment", above=0)
    bias_correction: bool = setting(
        True, "adamw, lamb: false leaves the moments as small as they begin"
    )
    clip_norm: float = setting(1.0, "largest gradient norm; 0 for no clipping", minimum=0)

    def mistakes(self) -> Iterator[Mistake]:
        if self.type != "adam":
            return
        if self.weight_decay:
            decay = f"{self.weight_decay:g}"
            way_out = "use adamw, or leave it out"
            yield Mistake("weightDecay", decay, "adam has none", way_out, about=("type",))
        if not self.bias_correction:
            way_out = "use adamw, or leave it out"
            yield Mistake("biasCorrection", "false", "adam has it", way_out, about=("type",))
