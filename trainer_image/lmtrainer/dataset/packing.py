"""Samples of a phase as packed rows, whatever they are made of. Called by `dataset.batches`."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase
from lmtrainer.dataset.batch import Batch
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.instancepacking import InstancePacker
from lmtrainer.dataset.pairpacking import PairPacker
from lmtrainer.dataset.prepare import Prepared
from lmtrainer.dataset.sequencepacking import SequencePacker
from lmtrainer.dataset.weighting import Shares
from lmtrainer.text.split import Split


class Packer(Protocol):
    """Puts samples of one split into rows."""

    epochs: Epochs
    shares: Shares | None
    """Where texts have weights: what an epoch has of each."""

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of the samples with these numbers, special tokens included."""
        ...

    def row(self, numbers: NDArray[np.int64], keys: NDArray[np.uint64]) -> Batch:
        """The samples with these numbers, in this order, one after the other; each is masked by its
        key."""
        ...


def packer(prepared: Prepared, run: RunConfig, phase: Phase, split: Split = "train") -> Packer:
    """What makes rows of a split for a phase."""
    if run.data.sequences == "instances":
        return InstancePacker(prepared, run, phase, split)
    if run.objective_of(phase) == "mlm+nsp":
        return PairPacker(prepared, run, phase, split)
    return SequencePacker(prepared, run, phase, split)
