"""Documents cut into chunks of whole sentences, each of which becomes a pair of sentences.

Called by `dataset.pairing`, whose rules these are: a chunk is of about the length that fits, and is
split into A and B at a sentence; or B is text of another document, and what A does not take goes
back. A chunk of one sentence has nothing that follows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from lmtrainer.randomness import bits, uniform

WINDOW = 1 << 16
"""Sentences that are paired at once."""

AROUND = 3
"""Special tokens of a pair: [CLS] A [SEP] B [SEP]."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sentences:
    """Where the sentences and documents of a split begin, shard by shard."""

    begins: Sequence[NDArray[np.uint64]]
    """[sentences + 1] of each shard, in tokens of the shard; memory mapped."""
    offsets: Ints
    """[documents + 1] in tokens of the split."""

    @property
    def places(self) -> Ints:
        """[shards + 1] where shards begin in the split."""
        return np.cumsum([0, *(int(begins[-1]) for begins in self.begins)])


class Chance(IntEnum):
    """What is drawn. The numbers are part of what a key means."""

    TARGET = 0
    SHORT = 1
    COIN = 2
    CUT = 3
    DOCUMENT = 4
    SENTENCE = 5
    FRONT_A = 6
    FRONT_B = 7


@dataclass(frozen=True)
class Drawing:
    """How pairs are drawn. `key`: of seed, length, pass and split."""

    key: int
    length: int
    """Of a whole pair at most, special tokens included."""
    random_share: float
    short_share: float

    @property
    def room(self) -> int:
        """Tokens of A and B together at most."""
        return self.length - AROUND

    def draw(self, purpose: Chance, counters: Ints) -> NDArray[np.float64]:
        """A number in [0, 1) for each counter, another for each purpose."""
        return uniform(int(bits(self.key, purpose)[0]), counters)


@dataclass(frozen=True, eq=False)
class Chunks:
    """[n] each: chunk i is of sentences first..last of a document, and A of the ones up to cut."""

    number: Ints
    """Of the first sentence, over the whole split."""
    document: Ints
    target: Ints
    is_random: NDArray[np.bool_]
    borders: Ints
    """[n, 6] in tokens of the split: A's begin, end of its first sentence, begin of its last one,
    its end; then the same two of B inside, if it follows."""
    end: Ints
    """[n] of the chunk."""


def chunks_of(sentences: Sentences, drawing: Drawing) -> Iterator[Chunks]:
    """All chunks of one pass over a split, in its order, some thousands at a time."""
    counted = 0
    for shard, begins in enumerate(sentences.begins):
        yield from _of_shard(sentences, shard, begins, drawing, counted)
        counted += len(begins) - 1


def _of_shard(
    sentences: Sentences,
    shard: int,
    begins: NDArray[np.uint64],
    drawing: Drawing,
    counted: int,
) -> Iterator[Chunks]:
    """The chunks of a shard, window by window; `counted` sentences lie before it."""
    place = int(sentences.places[shard])
    total = len(begins) - 1
    first = 0
    while first < total:
        stop = min(first + WINDOW, total)
        window = begins[first : stop + drawing.room + 1].astype(np.int64) + place
        document = int(np.searchsorted(sentences.offsets, window[0], side="right")) - 1
        behind = int(np.searchsorted(sentences.offsets, window[-1], side="left"))
        numbers = np.arange(document, behind)
        targets = _targets(numbers, drawing)
        ends = np.searchsorted(window, sentences.offsets[document + 1 : behind + 1])
        counters = np.arange(counted + first, counted + stop)
        found, reached = _cut(
            window.tolist(),
            ends.tolist(),
            targets.tolist(),
            (drawing.draw(Chance.COIN, counters) < drawing.random_share).tolist(),
            drawing.draw(Chance.CUT, counters).tolist(),
        )
        yield _described(found, window, numbers, targets, counted + first)
        first += reached


def _targets(documents: Ints, drawing: Drawing) -> Ints:
    """How long the chunks of each document shall be: full, or now and then anything from 2 on."""
    short = 2 + np.floor(drawing.draw(Chance.TARGET, documents) * (drawing.room - 1)).astype(
        np.int64
    )
    chance = drawing.draw(Chance.SHORT, documents)
    return np.where(chance < drawing.short_share, short, drawing.room)


def _cut(
    begins: list[int], ends: list[int], targets: list[int], coins: list[bool], cuts: list[float]
) -> tuple[list[tuple[int, int, int, int, bool]], int]:
    """Chunks whose first sentence is one of the window's: (its place among the documents, first,
    cut, last, random), and the sentence that the next window begins with."""
    found = []
    place, first, stop = 0, 0, len(coins)
    while first < stop:
        while ends[place] <= first:
            place += 1
        target = targets[place]
        # Every sentence has a token, so that a chunk has no more sentences than tokens.
        most = min(ends[place], first + target)
        last = bisect_left(begins, begins[first] + target, first + 1, most)
        count = last - first
        cut = first + 1 + int(cuts[first] * (count - 1))
        if count == 1 or coins[first]:
            found.append((place, first, cut, last, True))
            first = cut
        else:
            found.append((place, first, cut, last, False))
            first = last
    return found, first


def _described(
    found: list[tuple[int, int, int, int, bool]],
    window: Ints,
    numbers: Ints,
    targets: Ints,
    counted: int,
) -> Chunks:
    place, first, cut, last, is_random = np.array(found, dtype=np.int64).T
    random = is_random.astype(np.bool_)
    second = np.where(random, cut, last)
    inside = (first, first + 1, cut - 1, cut, np.minimum(cut + 1, second), second - 1)
    return Chunks(
        number=counted + first,
        document=numbers[place],
        target=targets[place],
        is_random=random,
        borders=window[np.stack(inside, axis=1)],
        end=window[second],
    )
