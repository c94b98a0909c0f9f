"""Which samples a step trains on, and which process computes which: functions of the step.

Called by `dataset.batches`. Training reads one endless stream, a new permutation of all samples
every epoch; a step is a stretch of it. Where a run goes on, and on how many processes, does not
enter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmtrainer.dataset import permutation
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.schedule import Batches
from lmtrainer.dataset.weighting import Shares
from lmtrainer.randomness import Purpose, derive


@dataclass(frozen=True)
class Order:
    """The stream of a phase."""

    seed: int
    phase_index: int
    epochs: Epochs
    batches: Batches
    """How many of them a step takes, over all processes."""
    shares: Shares | None = None
    """Where texts have weights: what an epoch has of each."""

    def at(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the samples of a step (from 0) and the epoch of each, or the pass of its text
        where texts have weights. [batch], [batch]."""
        begin, size = self.batches.at(step)
        places = np.arange(begin, begin + size)
        epochs, places = self.epochs.of(places)
        numbers = np.empty_like(places)
        for epoch in set(epochs.tolist()):
            key = derive(self.seed, Purpose.ORDER, self.phase_index, epoch)
            here = epochs == epoch
            found = permutation.at(key, self.epochs.size(epoch), places[here])
            numbers[here] = found + self.epochs.first(epoch)
        if self.shares is not None:
            return self.shares.pick(self.seed, self.phase_index, epochs, numbers)
        return numbers, epochs

    def epoch(self, step: int) -> int:
        """The epoch in which a step begins."""
        return int(self.epochs.of(np.array([self.batches.at(step)[0]]))[0][0])


def deal(lengths: NDArray[np.int64], processes: int, rows: int) -> list[list[NDArray[np.int64]]]:
    """Deal the sequences of a global batch to processes, each with at most `rows` packed rows.

    Returns, for each process and row, places in the batch. Every sequence is dealt once; rows get
    the same number of sequences, give or take one, and nearly the same number of tokens: sorted by
    length they are dealt forth and back. With at least as many sequences as processes, each gets
    some; rows that stay empty are left out.
    """
    slots = processes * rows
    ranked = np.argsort(-lengths, kind="stable")
    lap, place = np.divmod(np.arange(len(lengths)), slots)
    slot = np.where(lap % 2 == 0, place, slots - 1 - place)
    dealt = [ranked[slot == number] for number in range(min(slots, len(lengths)))]
    return [dealt[process::processes] for process in range(processes)]
