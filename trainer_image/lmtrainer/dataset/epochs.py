"""The endless stream of samples, epoch after epoch. Called by `dataset.order`, `schedule` and
`batches`.

An epoch is one pass over the text. Where passes are made in several ways (`pairs.passes`), epochs
take turns: epoch e is pass e modulo their number, and passes need not have as many samples.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Epochs:
    """Samples are numbered through all passes: those of the second begin behind the first."""

    sizes: tuple[int, ...]
    """Samples of each pass, all above 0."""

    def begin(self, epoch: float) -> int:
        """Place in the stream where an epoch begins; a part of one counts its samples, rounded
        up."""
        whole = math.floor(epoch)
        laps, number = divmod(whole, len(self.sizes))
        part = math.ceil((epoch - whole) * self.sizes[number])
        return laps * sum(self.sizes) + self.first(whole) + part

    def first(self, epoch: int) -> int:
        """Number of the first sample of an epoch's pass."""
        return sum(self.sizes[: epoch % len(self.sizes)])

    def size(self, epoch: int) -> int:
        """Samples of an epoch."""
        return self.sizes[epoch % len(self.sizes)]

    def of(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The epoch of each place in the stream, and where in it that is."""
        begins = np.array([0, *itertools.accumulate(self.sizes)])
        laps, rest = np.divmod(places, begins[-1])
        passes = np.searchsorted(begins, rest, side="right") - 1
        return laps * len(self.sizes) + passes, rest - begins[passes]
