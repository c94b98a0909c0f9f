"""Pairs of sentences as one writes them down after google-research/bert's description: lists of
tokens, one random generator, everything in memory; then padded batches. The peer of `instances`,
and no part of the kit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Document = list[list[int]]


@dataclass(frozen=True)
class Ids:
    cls: int
    sep: int
    mask: int
    regular: list[int]


@dataclass(frozen=True)
class Instance:
    tokens: list[int]
    segments: list[int]
    places: list[int]
    labels: list[int]
    is_random: bool


class Builder:
    def __init__(self, ids: Ids, length: int, share: float, seed: int) -> None:
        self.ids, self.room, self.share = ids, length - 3, share
        self.rng = random.Random(seed)

    def build(self, documents: list[Document]) -> list[Instance]:
        """One pass over all documents, shuffled at the end."""
        found = [one for n in range(len(documents)) for one in self._of(documents, n)]
        self.rng.shuffle(found)
        return found

    def _of(self, documents: list[Document], number: int) -> Iterator[Instance]:
        document, target = documents[number], self.room
        if self.rng.random() < 0.1:
            target = self.rng.randint(2, self.room)
        chunk: Document = []
        size = i = 0
        while i < len(document):
            chunk.append(document[i])
            size += len(document[i])
            if i == len(document) - 1 or size >= target:
                cut = 1 if len(chunk) < 2 else self.rng.randint(1, len(chunk) - 1)
                a = [token for sentence in chunk[:cut] for token in sentence]
                is_random = len(chunk) == 1 or self.rng.random() < 0.5
                if is_random:
                    b = self._elsewhere(documents, number, target - len(a))
                    i -= len(chunk) - cut
                else:
                    b = [token for sentence in chunk[cut:] for token in sentence]
                self._truncate(a, b)
                yield self._masked(a, b, is_random)
                chunk, size = [], 0
            i += 1

    def _elsewhere(self, documents: list[Document], number: int, wanted: int) -> list[int]:
        other = number
        while other == number:
            other = self.rng.randrange(len(documents))
        found: list[int] = []
        for sentence in documents[other][self.rng.randrange(len(documents[other])) :]:
            found.extend(sentence)
            if len(found) >= wanted:
                break
        return found

    def _truncate(self, a: list[int], b: list[int]) -> None:
        while len(a) + len(b) > self.room:
            longer = a if len(a) > len(b) else b
            if self.rng.random() < 0.5:
                del longer[0]
            else:
                longer.pop()

    def _masked(self, a: list[int], b: list[int], is_random: bool) -> Instance:
        tokens = [self.ids.cls, *a, self.ids.sep, *b, self.ids.sep]
        segments = [0] * (len(a) + 2) + [1] * (len(b) + 1)
        specials = (self.ids.cls, self.ids.sep)
        candidates = [i for i, token in enumerate(tokens) if token not in specials]
        budget = max(1, round(self.share * len(candidates)))
        self.rng.shuffle(candidates)
        places = sorted(candidates[:budget])
        labels = [tokens[place] for place in places]
        for place in places:
            chance = self.rng.random()
            if chance < 0.8:
                tokens[place] = self.ids.mask
            elif chance < 0.9:
                tokens[place] = self.rng.choice(self.ids.regular)
        return Instance(tokens, segments, places, labels, is_random)


def batches(instances: Sequence[Instance], size: int) -> Iterator[dict[str, NDArray[np.int64]]]:
    """What a model is fed: arrays, padded to the longest of each batch."""
    for begin in range(0, len(instances), size):
        yield _padded(instances[begin : begin + size])


def _padded(lines: Sequence[Instance]) -> dict[str, NDArray[np.int64]]:
    shape = (len(lines), max(len(one.tokens) for one in lines))
    ids, real, segments = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    labels = np.full(shape, -100, dtype=np.int64)
    for number, one in enumerate(lines):
        ids[number, : len(one.tokens)] = one.tokens
        real[number, : len(one.tokens)] = 1
        segments[number, : len(one.tokens)] = one.segments
        labels[number, one.places] = one.labels
    return {
        "input_ids": ids,
        "attention_mask": real,
        "token_type_ids": segments,
        "labels": labels,
        "next_sentence_label": np.array([int(one.is_random) for one in lines]),
    }
