"""When has training gone wrong? Pure: the answer is a function of the losses, which all ranks know.

A loss that is not finite is wrong at once. A spike is a loss that lies far above the last ones for
several steps on end: one odd batch is none. "Far" is counted in robust standard deviations, 1.4826
times the median absolute deviation, which outliers do not move (Leys et al. 2013, "Detecting
outliers: Do not use standard deviation around the mean", J. Exp. Soc. Psychol. 49), and never in
less than a hundredth of the median: a loss that hardly moves has hardly a deviation.
"""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass

WINDOW = 100
"""Losses that are looked back at."""
FEWEST = 50
"""Before there are so many, nothing is a spike: the first losses fall fast."""
STEPS = 5
"""On end make a spike."""

_NORMAL = 1.4826
"""Of a normal distribution, standard deviation over median absolute deviation."""
_SMALLEST = 0.01
"""Of the median."""


class DivergedError(Exception):
    """Training must not go on from here. Steps count from 0 in their phase."""

    def __init__(self, reason: str, *, first: int, last: int, learning_rate: float) -> None:
        """`first` and `last`: the steps that went wrong."""
        super().__init__(reason)
        self.first = first
        self.last = last
        self.learning_rate = learning_rate


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is remembered of the losses of a phase."""

    losses: tuple[float, ...] = ()
    """The last ones that were in order, at most `WINDOW`."""
    streak: int = 0
    """Steps on end that were not."""

    def after(self, loss: float, deviations: float) -> Watch:
        """With one more loss; `deviations` is the limit, 0 for none."""
        if deviations and len(self.losses) >= FEWEST and loss > self._limit(deviations):
            return dataclasses.replace(self, streak=self.streak + 1)
        return Watch(losses=(*self.losses, loss)[-WINDOW:])

    @property
    def has_spiked(self) -> bool:
        return self.streak >= STEPS

    @property
    def median(self) -> float:
        return statistics.median(self.losses)

    def _limit(self, deviations: float) -> float:
        middle = self.median
        spread = statistics.median(abs(loss - middle) for loss in self.losses)
        return middle + deviations * max(_NORMAL * spread, _SMALLEST * abs(middle))
