"""Texts that are seen more or less often than once in an epoch. Called by `dataset.order` and
`dataset.sequencepacking`.

Each text has an endless stream of its own, a new permutation of its samples every pass; an epoch
takes the next weight x samples of it, rounded. So with weight 2 every sample comes twice an epoch,
with 0.5 another half of them each epoch, and after any number of epochs no sample of a text was
seen more than once oftener than another one. All of it is a function of epoch and place.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmtrainer.dataset import permutation
from lmtrainer.faults import UserError
from lmtrainer.randomness import Purpose, derive


@dataclass(frozen=True)
class Shares:
    """How many samples of each text an epoch has. Samples are numbered text after text."""

    sizes: tuple[int, ...]
    """Samples of each text."""
    counts: tuple[int, ...]
    """Samples of it in an epoch."""

    @property
    def total(self) -> int:
        """Samples of an epoch."""
        return sum(self.counts)

    def pick(
        self, seed: int, phase_index: int, epochs: NDArray[np.int64], slots: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The sample in each slot of an epoch [n], slots numbered text after text, and the pass of
        its text, from 0, in which it comes."""
        ends = np.cumsum(self.counts)
        text = np.searchsorted(ends, slots, side="right")
        sizes, counts = np.array(self.sizes)[text], np.array(self.counts)[text]
        firsts = np.cumsum((0, *self.sizes))[text]
        passes, places = np.divmod(epochs * counts + slots - (ends[text] - counts), sizes)
        for number, turn in set(zip(text.tolist(), passes.tolist(), strict=True)):
            if self.counts[number] % self.sizes[number]:
                here = (text == number) & (passes == turn)
                key = derive(seed, Purpose.ORDER, phase_index, turn, number)
                places[here] = permutation.at(key, self.sizes[number], places[here])
        return firsts + places, passes


def shares_of(weights: Sequence[float], begins: Sequence[int], starts: NDArray[np.int64]) -> Shares:
    """Shares of texts that begin at these tokens of a split, of whose samples `starts` tells where
    each begins, ascending. UserError if an epoch would have none."""
    bounds = [0, *np.searchsorted(starts, begins[1:]).tolist(), len(starts)]
    sizes = [end - begin for begin, end in itertools.pairwise(bounds)]
    counts = [round(w * size) for w, size in zip(weights, sizes, strict=True)]
    if not sum(counts):
        raise UserError("data.weights: are so small that an epoch has no sequence; raise one")
    return Shares(tuple(sizes), tuple(counts))
