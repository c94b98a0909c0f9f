"""The scale of the loss: how it changes from step to step. Pure; the engine keeps the value.

static      never changes
dynamic     half after gradients that are not finite, twice after 2000 good steps in a row: the
            rule of torch.amp.GradScaler, and of apex before it
histogram   after every step: half if more than 1e-7 of the gradients lie in the upper bin of
            float16, else twice (popart's automatic loss scaling)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lmtrainer.config.precision import LossScaleType

GROWTH_STEPS = 2000
LARGEST_HALF = 65504.0
UPPER_BIN = 0.125 * LARGEST_HALF
UPPER_SHARE = 1e-7
"""Of the gradients that may lie above `UPPER_BIN`."""
SMALLEST, LARGEST = 2.0**-14, 2.0**40
"""Below, gradients are not finite for another reason; above, there is nothing to gain."""


@dataclass(frozen=True)
class LossScale:
    """The scale of the next step."""

    kind: LossScaleType
    value: float = 1.0
    good_steps: int = 0
    """Finite ones since the scale changed last."""

    def after(self, *, finite: bool, upper_share: float = 0.0) -> LossScale:
        """The scale that follows a step; `upper_share` is that of the scaled gradients. Raises
        FloatingPointError if a smaller scale would not help either."""
        if self.kind == "histogram":
            down = upper_share > UPPER_SHARE or not finite
            return self._changed(0.5 if down else 2.0)
        if self.kind == "dynamic":
            return self._dynamic(finite=finite)
        if not finite:
            raise FloatingPointError("the gradients are not finite")
        return self

    def _dynamic(self, *, finite: bool) -> LossScale:
        if not finite:
            return self._changed(0.5)
        if self.good_steps + 1 == GROWTH_STEPS:
            return self._changed(2.0)
        return dataclasses.replace(self, good_steps=self.good_steps + 1)

    def _changed(self, factor: float) -> LossScale:
        value = min(self.value * factor, LARGEST)
        if value < SMALLEST:
            raise FloatingPointError("the gradients are not finite at any scale of the loss")
        return LossScale(self.kind, value)


def upper_count(gradients: Iterable[Tensor]) -> tuple[float, float]:
    """How many of the scaled gradients lie above `UPPER_BIN`, infinite ones too, and of how
    many."""
    every = list(gradients)
    above = torch.stack([(gradient.abs() > UPPER_BIN).sum() for gradient in every]).sum()
    return float(above), float(sum(gradient.numel() for gradient in every))


def upper_share(gradients: Iterable[Tensor]) -> float:
    """Share of the scaled gradients above `UPPER_BIN`."""
    above, total = upper_count(gradients)
    return above / total
