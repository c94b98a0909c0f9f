"""Rows of sequences: stretches of the text between special tokens. Called by `dataset.packing`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase
from lmtrainer.dataset.batch import Batch
from lmtrainer.dataset.choosing import Stretches
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.masking import mask, most_predictions
from lmtrainer.dataset.prepare import Prepared
from lmtrainer.dataset.samples import cut_of
from lmtrainer.dataset.weighting import Shares, shares_of
from lmtrainer.text.split import Split


class SequencePacker:
    """Sequences of text, each a stretch of it."""

    def __init__(self, prepared: Prepared, run: RunConfig, phase: Phase, split: Split) -> None:
        self._tokens = prepared.tokens(split)
        self._cut = cut_of(run, phase, split)
        self.samples = prepared.samples(split, self._cut)
        self.shares: Shares | None = None
        if split == "train" and run.data.weights is not None:
            begins = self._tokens.sources
            self.shares = shares_of(run.data.weights, begins, self.samples.starts)
        self.epochs = self.shares.epochs if self.shares else Epochs((len(self.samples),))
        self._vocabulary = prepared.vocabulary
        self._masking = run.masking

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the sequences, special tokens included."""
        return self.samples.lengths_of(numbers)

    def row(self, numbers: NDArray[np.int64], keys: NDArray[np.uint64]) -> Batch:
        """The samples with these numbers, in this order, one after the other."""
        lengths = self.samples.lengths_of(numbers)
        begins = np.cumsum(lengths) - lengths
        row = np.empty(int(lengths.sum()), dtype=np.int64)
        places = begins + self._wrap(row, begins, begins + lengths - 1)
        stretches = Stretches(
            places, self.samples.sizes_of(numbers), self.samples.starts[numbers], keys
        )
        self._tokens.copy_all(stretches.starts, stretches.sizes, stretches.places, row)
        positions = np.arange(len(row)) - np.repeat(begins, lengths)
        if self._cut.objective != "clm":
            most = most_predictions(self._masking, self._cut.length)
            targets, labels = mask(row, stretches, self._masking, self._vocabulary, most)
        elif self.samples.ahead:
            targets, labels = np.arange(len(row)), np.append(row[1:], 0)
            labels[begins + lengths - 1] = self._behind(stretches)
        else:
            # All but the last of each sequence; each predicts the token after it.
            targets = np.delete(np.arange(len(row)), begins + lengths - 1)
            labels = row[targets + 1]
        return Batch(row, positions, tuple(lengths.tolist()), targets, labels)

    def _wrap(
        self, row: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]
    ) -> int:
        """Put the special tokens around each sequence; returns how many stand before its text."""
        if not self.samples.around:
            return 0
        cls, sep = self._vocabulary.cls, self._vocabulary.sep
        assert cls is not None and sep is not None, "checked when the dataset was opened"
        row[first] = cls
        row[last] = sep
        return 1

    def _behind(self, stretches: Stretches) -> NDArray[np.int64]:
        """The token behind each stretch."""
        found = np.empty(len(stretches.starts), dtype=np.int64)
        ends = stretches.starts + stretches.sizes
        for number, end in enumerate(ends.tolist()):
            self._tokens.copy(end, found[number : number + 1])
        return found
