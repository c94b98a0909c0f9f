"""In which number format a run computes, and how it keeps small gradients from vanishing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.schema import setting

Precision = Literal["auto", "fp32", "bf16", "fp16", "bf16-true", "fp16-true"]
"""`bf16` and `fp16` multiply matrices in the short format and keep weights in float32; with `-true`
the weights themselves are short, too."""

LossScaleType = Literal["none", "static", "dynamic", "histogram"]


@dataclass(frozen=True, kw_only=True)
class LossScaleConfig:
    """The factor on the loss that keeps small gradients above the smallest float16
    (Micikevicius et al. 2018, arXiv 1710.03740); the weights never see it."""

    type: LossScaleType | None = setting(None, "left out, dynamic with fp16, else none")
    initial: float = setting(65536.0, "scale of the first step", above=0, maximum=2**32)


def loss_scale_type(config: LossScaleConfig, precision: Precision) -> LossScaleType:
    """As configured, else what the number format needs."""
    if config.type is not None:
        return config.type
    return "dynamic" if precision.startswith("fp16") else "none"
