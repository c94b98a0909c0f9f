"""Rows of ready-made instances, with the masks that they came with. Called by `dataset.packing`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase
from lmtrainer.dataset.answers import open_answers
from lmtrainer.dataset.batch import Batch
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.prepare import Prepared
from lmtrainer.dataset.weighting import Shares, shares_of
from lmtrainer.text.split import Split


class InstancePacker:
    """Masked pairs of sentences as they were read; the keys of masks are not looked at."""

    def __init__(self, prepared: Prepared, run: RunConfig, phase: Phase, split: Split) -> None:
        most = run.data.max_sequences if split == "train" else run.data.validation.max_sequences
        self._tokens = prepared.tokens(split)
        self._answers = open_answers(prepared.dataset, split)
        count = self._tokens.documents
        starts = self._tokens.offsets[:count][:most]
        self.shares: Shares | None = None
        if split == "train" and run.data.weights is not None:
            self.shares = shares_of(run.data.weights, self._tokens.sources, starts)
        self.epochs = self.shares.epochs if self.shares else Epochs((len(starts),))
        self._pairs = run.objective_of(phase) == "mlm+nsp"

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the instances, special tokens included."""
        offsets = self._tokens.offsets
        return offsets[numbers + 1] - offsets[numbers]

    def row(self, numbers: NDArray[np.int64], keys: NDArray[np.uint64]) -> Batch:
        """The instances with these numbers, in this order, one after the other."""
        lengths = self.lengths(numbers)
        begins = np.cumsum(lengths) - lengths
        row = np.empty(int(lengths.sum()), dtype=np.int64)
        self._tokens.copy_all(self._tokens.offsets[numbers], lengths, begins, row)
        found = self._answers.of(numbers)
        positions = np.arange(len(row)) - np.repeat(begins, lengths)
        return Batch(
            row,
            positions,
            tuple(lengths.tolist()),
            found.places + np.repeat(begins, found.counts),
            found.labels,
            segments=(positions >= np.repeat(found.firsts, lengths)).astype(np.int64),
            pair_labels=found.is_random if self._pairs else None,
        )
