"""The step that the trainer takes: gradients scaled and clipped, weights moved."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer


def update(
    optimizer: Optimizer,
    parameters: Iterable[nn.Parameter],
    *,
    learning_rate: float,
    scale: float,
    clip_norm: float,
) -> float:
    """Scale the gradients by `scale`, clip their norm to `clip_norm` (0: no clipping), update, and
    clear them. Returns the norm after scaling and before clipping."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients, foreach=True)) * scale
    if clip_norm and norm > clip_norm:
        scale *= clip_norm / norm
    torch._foreach_mul_(gradients, scale)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    return norm
