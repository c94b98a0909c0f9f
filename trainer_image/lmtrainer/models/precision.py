"""Where a forward pass computes in a shorter format, and in which format weights are kept."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from lmtrainer.config import RunConfig

_MATRICES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_WEIGHTS = {"bf16-true": torch.bfloat16, "fp16-true": torch.float16}


def autocast(run: RunConfig, device: torch.device) -> AbstractContextManager[Any]:
    """The short format in the matrix products of the forward pass if the run asks for mixed
    precision; weights, gradients and sums stay in float32."""
    short = _MATRICES.get(run.precision)
    if short is None:
        return nullcontext()
    return torch.autocast(device.type, dtype=short)


def shorten(model: nn.Module, run: RunConfig) -> nn.Module:
    """The model in the format that its weights are trained in; the same object."""
    short = _WEIGHTS.get(run.precision)
    return model if short is None else model.to(short)
