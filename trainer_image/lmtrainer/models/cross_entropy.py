"""Cross-entropy of a linear layer over the vocabulary, a part of the scores at a time.

The scores of all positions are the largest thing of a step. Here a part of them is made, its loss
and the gradients are taken at once, and its place serves the next part: no recomputation, and never
more than one part in memory (the idea of Hsu et al. 2024, "Liger Kernel", arXiv 2410.10989).
Called by `objective`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lmtrainer.config.scores import scores_at_once


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, *, parts: int = 1
) -> Tensor:
    """Sum of the cross-entropy of softmax(hidden @ weight.T + bias) at `labels`, in float32.

    `hidden` [M, H], `weight` [V, H], `bias` [V], `labels` int64 [M]; `parts`: at least so many.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        short = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(short), weight.to(short)
    with torch.autocast(hidden.device.type, enabled=False):
        rows = scores_at_once(len(labels), len(weight), parts)
        found: Tensor = _LinearCrossEntropy.apply(hidden, weight, bias, labels, rows)  # type: ignore[no-untyped-call]
        return found


class _LinearCrossEntropy(torch.autograd.Function):
    """Gradients are made in forward, as the loss is a sum: backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, rows: int
    ) -> Tensor:
        wanted = ctx.needs_input_grad[:3]
        loss = torch.zeros((), device=hidden.device)
        grads = (
            torch.empty_like(hidden) if wanted[0] else None,
            torch.zeros_like(weight, dtype=torch.float32) if wanted[1] else None,
            torch.zeros_like(bias, dtype=torch.float32) if wanted[2] and bias is not None else None,
        )
        for start in range(0, len(labels), rows):
            part = slice(start, start + rows)
            scores = torch.mm(hidden[part], weight.t()).float()
            if bias is not None:
                scores += bias
            loss += _loss(scores, labels[part])
            _add_gradients(scores, hidden, weight, part, grads)
        ctx.save_for_backward(*grads)
        ctx.types = hidden.dtype, weight.dtype, weight.dtype if bias is None else bias.dtype
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        (scale,) = outer
        pairs = zip(ctx.saved_tensors, ctx.types, strict=True)
        grads = (None if g is None else (g * scale.to(g.dtype)).to(kind) for g, kind in pairs)
        return *grads, None, None


def _loss(scores: Tensor, labels: Tensor) -> Tensor:
    """The summed loss; `scores` [rows, V] become its gradient, softmax less one at the labels."""
    places = labels[:, None]
    highest = scores.amax(1, keepdim=True)
    right = scores.gather(1, places) - highest
    total = scores.sub_(highest).exp_().sum(1, keepdim=True)
    scores.div_(total)
    scores.scatter_add_(1, places, torch.full_like(right, -1))
    return (total.log() - right).sum()


def _add_gradients(
    scores: Tensor,
    hidden: Tensor,
    weight: Tensor,
    part: slice,
    grads: tuple[Tensor | None, Tensor | None, Tensor | None],
) -> None:
    of_hidden, of_weight, of_bias = grads
    if of_bias is not None:
        of_bias += scores.sum(0)
    short = scores.to(weight.dtype)
    if of_hidden is not None:
        torch.mm(short, weight, out=of_hidden[part])
    if of_weight is not None and weight.dtype == torch.float32:
        of_weight.addmm_(short.t(), hidden[part])
    elif of_weight is not None:
        of_weight += torch.mm(short.t(), hidden[part])  # sums of many parts need more digits
