"""Weights in a short format, moved as if they were long: float32 in between, rounded by chance.

An update is often smaller than half the distance of two neighbours in bfloat16, so that rounding to
the nearest would lose all of them; rounding up with a chance equal to the part that is cut off is
right on average (Gupta et al. 2015, arXiv 1502.02551). The chance is a function of seed, step and
parameter. Caller: `optim.lamb`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lmtrainer.randomness import derive

_BITS = {torch.bfloat16: 7, torch.float16: 10}
"""Of the mantissa."""

_SMALLEST = {torch.bfloat16: -126, torch.float16: -14}
"""Exponent of the smallest number with a full mantissa."""


def moment_formats(weights: Tensor) -> dict[str, torch.dtype]:
    """What every optimizer remembers of a parameter, beside the number of updates, and its format:
    the first moment has that of the weights, but float16 cannot hold unscaled gradients."""
    first = torch.float32 if weights.dtype == torch.float16 else weights.dtype
    return {"exp_avg": first, "exp_avg_sq": torch.float32}


def long(tensors: Sequence[Tensor], scale: float = 1.0) -> list[Tensor]:
    """Float32 copies times `scale`."""
    copies = [tensor.float() for tensor in tensors]
    if scale != 1.0:
        torch._foreach_mul_(copies, scale)
    return copies


def write_back(
    weights: Sequence[Tensor], moved: Sequence[Tensor], seeds: Sequence[tuple[int, ...]]
) -> None:
    """Round float32 weights into those of the model. `seeds`: whole numbers that name the step and
    the parameter, one tuple for each."""
    generator = torch.Generator(weights[0].device)
    for weight, exact, seed in zip(map(_local, weights), map(_local, moved), seeds, strict=True):
        generator.manual_seed(derive(*seed) >> 1)
        chance = torch.rand(exact.shape, generator=generator, device=exact.device)
        weight.copy_(exact + (chance - 0.5) * _distance(exact, weight.dtype))


def _local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def _distance(values: Tensor, kind: torch.dtype) -> Tensor:
    """Between neighbours of a short format around each value."""
    exponents = (torch.frexp(values).exponent - 1).clamp(min=_SMALLEST[kind])
    return torch.ldexp(torch.ones_like(values), exponents - _BITS[kind])
