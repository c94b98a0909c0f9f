"""Computes again in backward what would have to be kept from forward: less memory, more time.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174). Dropout is
drawn alike both times, so gradients are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lmtrainer.config import RunConfig


def spare(model: Any, run: RunConfig) -> None:
    """Keep only the input of each layer if the run asks for it."""
    if run.gradient_checkpointing:
        # transformers renamed it in 5.23 and warns of the old name.
        renamed = getattr(model, "activation_checkpointing_enable", None)
        (renamed or model.gradient_checkpointing_enable)({"use_reentrant": False})


def in_chunks(
    loss: Callable[[Tensor, Tensor], Tensor], hidden: Tensor, labels: Tensor, chunks: int
) -> Tensor:
    """Sum of `loss(hidden, labels)` over `chunks` parts of the targets [M, hidden size] and [M]; of
    their scores only one part is in memory at any time."""
    size = max(1, -(-len(labels) // chunks))
    parts = zip(torch.split(hidden, size), torch.split(labels, size), strict=True)
    total = torch.zeros((), device=hidden.device)
    for part, wanted in parts:
        total = total + checkpoint(loss, part, wanted, use_reentrant=False)
    return total
