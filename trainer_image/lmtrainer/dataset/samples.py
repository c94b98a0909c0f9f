"""Which stretch of the text is which training example. Called by `dataset.batches`.

A sample's number is its place in the table; it depends on the dataset, the sequence length and the
objective alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config.model import Objective

AROUND: dict[Objective, int] = {"mlm": 2, "clm": 0}
"""Special tokens that are put around a stretch when it is loaded."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The table: stretch i has `sizes[i]` tokens from position `starts[i]` of its split on."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    lengths: NDArray[np.int64]
    """Of the sequences that the model sees, special tokens included."""

    def __len__(self) -> int:
        return len(self.starts)


def samples(offsets: NDArray[np.int64], sequence_length: int, objective: Objective) -> Samples:
    """Cut a split, given where its documents begin [documents + 1], into samples.

    mlm: each document in as few, nearly equal parts as fit between [CLS] and [SEP]. clm: the whole
    stream, in which every document ends in its own end token, in blocks of `sequence_length`; a
    last block of fewer than two tokens, in which there is nothing to predict, is left out.
    """
    if objective == "clm":
        starts, sizes = _blocks(int(offsets[-1]), sequence_length)
    else:
        starts, sizes = _parts(offsets, sequence_length - AROUND["mlm"])
    return Samples(starts, sizes, sizes + AROUND[objective])


def _blocks(tokens: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts = np.arange(0, max(tokens - 1, 0), length, dtype=np.int64)
    return starts, np.minimum(length, tokens - starts)


def _parts(offsets: NDArray[np.int64], room: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sizes = np.diff(offsets)
    counts = -(-sizes // room)
    document = np.repeat(np.arange(len(sizes)), counts)
    part = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = part * sizes[document] // counts[document]
    ends = (part + 1) * sizes[document] // counts[document]
    return offsets[document] + begins, ends - begins
