"""Packed rows for the model: which text, hidden how, and what to predict.

Called by the training loop and by evaluation. A row is a function of the dataset, the configuration
and the step: no state is kept between calls.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase, batch_shape
from lmtrainer.dataset.batch import Batch
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.order import Order, deal
from lmtrainer.dataset.packing import packer
from lmtrainer.dataset.prepare import Prepared
from lmtrainer.dataset.schedule import batches_of
from lmtrainer.randomness import Purpose, derive

__all__ = ["Batch", "EvaluationRows", "TrainingRows", "steps_of", "training_steps"]

EVALUATION_TOKENS = 4096
"""Most tokens of an evaluation row, unless one sequence has more."""


def steps_of(phase: Phase, epochs: Epochs) -> int:
    """Steps of a phase: as given, or as its epochs make it, rounded up."""
    if phase.steps is not None:
        return phase.steps
    assert phase.epochs is not None, "checked by the configuration"
    return batches_of(phase, epochs).steps_to(epochs.begin(phase.epochs))


def training_steps(prepared: Prepared, run: RunConfig) -> tuple[int, ...]:
    """Steps of each phase of a run."""
    phases = run.phases
    return tuple(steps_of(phase, packer(prepared, run, phase).epochs) for phase in phases)


class TrainingRows:
    """The training text in the lengths and batches of one phase."""

    def __init__(self, prepared: Prepared, run: RunConfig, phase_index: int) -> None:
        self._run = run
        self._phase_index = phase_index
        self._phase = run.phases[phase_index]
        self._packer = packer(prepared, run, self._phase)
        epochs = self._packer.epochs
        batches = batches_of(self._phase, epochs)
        self._order = Order(run.seed, phase_index, epochs, batches, self._packer.shares)

    def micro_batches(self, step: int, rank: int, world_size: int) -> list[Batch]:
        """The rows that a process computes for a step (from 0), at least one if the global batch
        has a sequence for each process. All processes together get each sequence once."""
        numbers, epochs = self._order.at(step)
        lengths = self._packer.lengths(numbers)
        shape = batch_shape(self._phase, world_size, len(numbers))
        rows = deal(lengths, world_size, shape.accumulation)[rank]
        return [self._packer.row(numbers[row], self._keys(epochs[row])) for row in rows]

    def epoch(self, step: int) -> int:
        """The epoch, from 0, in which a step begins."""
        return self._order.epoch(step)

    def _keys(self, epochs: NDArray[np.int64]) -> NDArray[np.uint64]:
        parts = (self._run.seed, Purpose.MASKS, self._phase_index)
        keys = {epoch: derive(*parts, epoch) for epoch in set(epochs.tolist())}
        return np.array([keys[epoch] for epoch in epochs.tolist()], dtype=np.uint64)


class EvaluationRows:
    """The held-out text in the lengths of one phase, each time the same, masks too."""

    def __init__(
        self,
        prepared: Prepared,
        run: RunConfig,
        phase_index: int,
        *,
        max_tokens: int = EVALUATION_TOKENS,
    ) -> None:
        phase = run.phases[phase_index]
        self._packer = packer(prepared, run, phase, "validation")
        self._key = derive(run.seed, Purpose.EVALUATION)
        self._max_tokens = max_tokens

    def rows(self, rank: int, world_size: int) -> Iterator[Batch]:
        """This process's share of the rows: sequences of like length, at most `max_tokens` in all.
        The rows of all processes together are the same for any number of them."""
        order, lengths = self._by_length()
        for number, row in enumerate(self._cut(order, lengths)):
            if number % world_size == rank:
                yield self._packer.row(row, np.full(len(row), self._key, dtype=np.uint64))

    def __len__(self) -> int:
        """Rows of all processes."""
        return sum(1 for _ in self._cut(*self._by_length()))

    def _by_length(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        lengths = self._packer.lengths(np.arange(self._packer.epochs.sizes[0]))
        return np.argsort(lengths, kind="stable"), lengths

    def _cut(
        self, order: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        ends = np.cumsum(lengths[order])
        begin = 0
        while begin < len(order):
            before = int(ends[begin - 1]) if begin else 0
            end = int(np.searchsorted(ends, before + self._max_tokens, side="right"))
            end = max(end, begin + 1)
            yield order[begin:end]
            begin = end
