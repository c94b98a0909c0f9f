"""Rows of pairs of sentences: [CLS] A [SEP] B [SEP]. Called by `dataset.packing`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase
from lmtrainer.dataset.batch import Batch
from lmtrainer.dataset.choosing import Stretches
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.masking import mask, most_predictions
from lmtrainer.dataset.pairchunks import AROUND
from lmtrainer.dataset.pairing import PAIR
from lmtrainer.dataset.pairs import of_passes
from lmtrainer.dataset.prepare import Prepared
from lmtrainer.dataset.weighting import Shares, shares_of
from lmtrainer.text.split import Split


class PairPacker:
    """Pairs of sentences, two stretches of the text each."""

    def __init__(self, prepared: Prepared, run: RunConfig, phase: Phase, split: Split) -> None:
        most = run.data.max_sequences if split == "train" else run.data.validation.max_sequences
        found = of_passes(prepared.pairs, split, phase.sequence_length)
        self._tables = [table[:most] for table in found]
        self._tokens = prepared.tokens(split)
        passes = Epochs(tuple(map(len, self._tables)))
        self._begins = np.array([passes.first(n) for n in range(len(self._tables))])
        self.shares: Shares | None = None
        if split == "train" and run.data.weights is not None:
            # A pair is of the text of its first part. Tables are searched where they lie.
            starts = (table["a_start"] for table in self._tables)
            self.shares = shares_of(run.data.weights, self._tokens.sources, *starts)
        self.epochs = self.shares.epochs if self.shares else passes
        self._vocabulary = prepared.vocabulary
        self._masking = run.masking
        self._most = most_predictions(run.masking, phase.sequence_length)

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the pairs, special tokens included."""
        found = self._pairs(numbers)
        lengths: NDArray[np.int64] = found["a_size"].astype(np.int64) + found["b_size"] + AROUND
        return lengths

    def row(self, numbers: NDArray[np.int64], keys: NDArray[np.uint64]) -> Batch:
        """The pairs with these numbers, in this order, one after the other."""
        found = self._pairs(numbers)
        names = ("a_start", "a_size", "b_start", "b_size")
        a_starts, a_sizes, b_starts, b_sizes = (found[name].astype(np.int64) for name in names)
        lengths = a_sizes + b_sizes + AROUND
        begins = np.cumsum(lengths) - lengths
        row = np.empty(int(lengths.sum()), dtype=np.int64)
        seconds = begins + a_sizes + 2
        self._wrap(row, begins, seconds - 1, begins + lengths - 1)
        self._tokens.copy_all(a_starts, a_sizes, begins + 1, row)
        self._tokens.copy_all(b_starts, b_sizes, seconds, row)
        # A, its [SEP], which is never hidden, and B
        stretches = Stretches(begins + 1, a_sizes + 1 + b_sizes, a_starts, keys)
        targets, labels = mask(row, stretches, self._masking, self._vocabulary, self._most)
        positions = np.arange(len(row)) - np.repeat(begins, lengths)
        return Batch(
            row,
            positions,
            tuple(lengths.tolist()),
            targets,
            labels,
            segments=(positions >= np.repeat(a_sizes + 2, lengths)).astype(np.int64),
            pair_labels=found["is_random"].astype(np.int64),
        )

    def _pairs(self, numbers: NDArray[np.int64]) -> NDArray[np.void]:
        found = np.empty(len(numbers), dtype=PAIR)
        passes = np.searchsorted(self._begins, numbers, side="right") - 1
        for number in np.unique(passes):
            here = passes == number
            found[here] = self._tables[number][numbers[here] - self._begins[number]]
        return found

    def _wrap(self, row: NDArray[np.int64], *places: NDArray[np.int64]) -> None:
        cls, sep = self._vocabulary.cls, self._vocabulary.sep
        assert cls is not None and sep is not None, "checked when the dataset was opened"
        for place, token in zip(places, (cls, sep, sep), strict=True):
            row[place] = token
