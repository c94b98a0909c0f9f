"""Where a forward pass computes in a shorter format."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from lmtrainer.config import RunConfig


def autocast(run: RunConfig, device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 in the matrix products of the forward pass if the run asks for it; weights,
    gradients and sums stay in float32."""
    if run.precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
