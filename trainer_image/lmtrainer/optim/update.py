"""The step that the trainer takes: gradients scaled and clipped, weights moved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
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
    clear them. Returns the norm after scaling and before clipping; if it is not finite, nothing is
    updated."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = total_norm(gradients) * scale
    if math.isfinite(norm):
        if clip_norm and norm > clip_norm:
            scale *= clip_norm / norm
        _move(optimizer, gradients, learning_rate, scale)
    torch._foreach_zero_(gradients)
    return norm


def total_norm(gradients: Sequence[Tensor]) -> float:
    """Length of all gradients as one vector, in float32 whatever their format. Of gradients that
    are shards, the length of the whole."""
    norms = torch.stack(torch._foreach_norm(list(gradients), 2, dtype=torch.float32))
    total = torch.linalg.vector_norm(norms)
    return float(total.full_tensor() if hasattr(total, "full_tensor") else total)


def _move(
    optimizer: Optimizer, gradients: list[Tensor], learning_rate: float, scale: float
) -> None:
    """Short formats hold no unscaled gradients: the optimizer scales its own float32 copies."""
    short = gradients[0].dtype != torch.float32
    if not short:
        torch._foreach_mul_(gradients, scale)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
        if short:
            group["gradient_scale"] = scale
    optimizer.step()
