"""Texts that are seen more or less often than once in an epoch. Called by `dataset.order` and by
the packers of samples.

Each text has an endless stream of its own, pass after pass over its samples, a new permutation of
them in each; an epoch takes the next weight x samples of it, rounded. So with weight 2 every sample
comes twice an epoch, with 0.5 another half of them each epoch, and after any number of epochs no
sample of a text was seen more than once oftener than another one.

Where the text is read in several ways (`pairs.passes`), each has samples of its own. The passes of
a text over itself take turns, whatever epoch it is: with weight 2 an epoch is two passes and so two
ways of pairing, with 0.5 two epochs go by before the next one. How much an epoch takes is weight x
samples of the pass that the epoch would be without weights, so that a weight of 1 is none.

All of it is a function of epoch and place.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmtrainer.dataset import permutation
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.faults import UserError
from lmtrainer.randomness import Purpose, derive

Ints = NDArray[np.int64]
Table = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Shares:
    """How many samples of each text an epoch has: both are [passes][texts]. Samples are numbered
    pass after pass, and in each text after text."""

    sizes: Table
    """Samples of each text in each pass."""
    counts: Table
    """Samples of it in the epochs that the pass would be: epoch e has counts[e % passes]."""

    @property
    def epochs(self) -> Epochs:
        """Samples of each epoch."""
        return Epochs(tuple(map(sum, self.counts)))

    def pick(self, seed: int, phase_index: int, epochs: Ints, slots: Ints) -> tuple[Ints, Ints]:
        """The sample in each slot of an epoch [n], slots numbered as samples are, and the pass of
        its text, from 0, in which it comes."""
        texts, places = self._streams(epochs, slots)
        passes, places = self._passes(texts, places)
        sizes, counts = np.array(self.sizes), np.array(self.counts)
        for text, number in set(zip(texts.tolist(), passes.tolist(), strict=True)):
            if not _even(sizes[:, text], counts[:, text]):
                here = (texts == text) & (passes == number)
                key = derive(seed, Purpose.ORDER, phase_index, number, text)
                size = int(sizes[number % len(sizes), text])
                places[here] = permutation.at(key, size, places[here])
        begins = _before(sizes.ravel()).reshape(sizes.shape)
        return begins[passes % len(sizes), texts] + places, passes

    def _streams(self, epochs: Ints, slots: Ints) -> tuple[Ints, Ints]:
        """The text of each slot of an epoch, and the place in that text's stream."""
        counts = np.array(self.counts)
        number = np.searchsorted(np.cumsum(counts), slots, side="right")
        ways, texts = np.divmod(number, counts.shape[1])
        earlier = epochs // len(counts) * counts.sum(axis=0)[texts] + _before(counts)[ways, texts]
        return texts, earlier + slots - _before(counts.ravel())[number]

    def _passes(self, texts: Ints, places: Ints) -> tuple[Ints, Ints]:
        """The pass to which a place in the stream of a text belongs, and where in that it is."""
        sizes = np.array(self.sizes)
        laps, places = np.divmod(places, sizes.sum(axis=0)[texts])
        # The ways of each text, and the texts, one behind the other: one search finds all.
        of_text = sizes.T.ravel()
        first = _before(of_text)[texts * len(sizes)]
        ways = np.searchsorted(np.cumsum(of_text), first + places, side="right") % len(sizes)
        return laps * len(sizes) + ways, places - _before(sizes)[ways, texts]


def _before(sizes: Ints) -> Ints:
    """What lies before each, along the first axis."""
    return np.cumsum(sizes, axis=0) - sizes


def _even(sizes: Ints, counts: Ints) -> bool:
    """Does every epoch begin and end with a pass of a text? The order within it is that of the
    epoch then."""
    lap = sizes.sum()
    return not counts.sum() % lap and bool(np.isin(_before(counts) % lap, _before(sizes)).all())


def shares_of(
    weights: Sequence[float], begins: Sequence[int], *starts: Sequence[int] | Ints
) -> Shares:
    """Shares of texts that begin at these tokens of a split, of whose samples `starts` tells, for
    each pass, where each begins, ascending. UserError if an epoch would have none."""
    sizes, counts = [], []
    for samples in starts:
        bounds = [0, *(bisect_left(samples, begin) for begin in begins[1:]), len(samples)]
        size = tuple(end - begin for begin, end in itertools.pairwise(bounds))
        sizes.append(size)
        counts.append(tuple(round(w * n) for w, n in zip(weights, size, strict=True)))
        if not sum(counts[-1]):
            raise UserError("data.weights: are so small that an epoch has no sequence; raise one")
    return Shares(tuple(sizes), tuple(counts))
