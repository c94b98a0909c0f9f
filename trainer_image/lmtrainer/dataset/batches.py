"""Packed rows for the model: which text, hidden how, and what to predict.

Called by the training loop and by evaluation. A row is a function of the dataset, the configuration
and the step: no state is kept between calls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase, batch_shape
from lmtrainer.dataset.masking import Stretches, mask
from lmtrainer.dataset.order import Order, deal
from lmtrainer.dataset.prepare import Prepared
from lmtrainer.dataset.samples import cut_of, samples
from lmtrainer.dataset.schedule import batches_of
from lmtrainer.randomness import Purpose, derive
from lmtrainer.text.split import Split

EVALUATION_TOKENS = 4096
"""Most tokens of an evaluation row, unless one sequence has more."""


@dataclass(frozen=True, eq=False)
class Batch:
    """S sequences packed end to end in one row: T tokens, M of them to predict."""

    tokens: NDArray[np.int64]
    """[T] what the model sees"""
    positions: NDArray[np.int64]
    """[T] from 0 in each sequence"""
    lengths: tuple[int, ...]
    """of the sequences; their sum is T"""
    targets: NDArray[np.int64]
    """[M] places in the row, ascending"""
    labels: NDArray[np.int64]
    """[M] the right token at each target"""
    segments: NDArray[np.int64] | None = None
    """[T] of pairs: 0 in the first part of each sequence, 1 in the second"""
    pair_labels: NDArray[np.int64] | None = None
    """[S] of pairs: 1 where the second part is a random one, 0 where it follows the first"""


def steps_of(phase: Phase, samples: int) -> int:
    """Steps of a phase over so many samples: as given, or as its epochs make it, rounded up."""
    if phase.steps is not None:
        return phase.steps
    assert phase.epochs is not None, "checked by the configuration"
    return batches_of(phase, samples).steps_to(math.ceil(phase.epochs * samples))


def training_steps(prepared: Prepared, run: RunConfig) -> tuple[int, ...]:
    """Steps of each phase of a run."""
    offsets = prepared.train.offsets
    return tuple(steps_of(phase, len(samples(offsets, cut_of(run, phase)))) for phase in run.phases)


class TrainingRows:
    """The training text in the lengths and batches of one phase."""

    def __init__(self, prepared: Prepared, run: RunConfig, phase_index: int) -> None:
        self._run = run
        self._phase_index = phase_index
        self._phase = run.phases[phase_index]
        self._packer = _Packer(prepared, run, self._phase, "train")
        count = len(self._packer.samples)
        self._order = Order(run.seed, phase_index, count, batches_of(self._phase, count))

    def micro_batches(self, step: int, rank: int, world_size: int) -> list[Batch]:
        """The rows that a process computes for a step (from 0), at least one if the global batch
        has a sequence for each process. All processes together get each sequence once."""
        numbers, epochs = self._order.at(step)
        lengths = self._packer.samples.lengths[numbers]
        shape = batch_shape(self._phase, world_size, len(numbers))
        rows = deal(lengths, world_size, shape.accumulation)[rank]
        return [self._packer.row(numbers[row], self._keys(epochs[row])) for row in rows]

    def epoch(self, step: int) -> int:
        """The epoch, from 0, in which a step begins."""
        return self._order.epoch(step)

    def _keys(self, epochs: NDArray[np.int64]) -> NDArray[np.uint64]:
        found, which = np.unique(epochs, return_inverse=True)
        parts = (self._run.seed, Purpose.MASKS, self._phase_index)
        keys = [derive(*parts, int(epoch)) for epoch in found]
        return np.array(keys, dtype=np.uint64)[which]


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
        self._packer = _Packer(prepared, run, phase, "validation")
        self._key = derive(run.seed, Purpose.EVALUATION)
        self._max_tokens = max_tokens

    def rows(self, rank: int, world_size: int) -> Iterator[Batch]:
        """This process's share of the rows: sequences of like length, at most `max_tokens` in all.
        The rows of all processes together are the same for any number of them."""
        order = np.argsort(self._packer.samples.lengths, kind="stable")
        for number, row in enumerate(self._cut(order)):
            if number % world_size == rank:
                yield self._packer.row(row, np.full(len(row), self._key, dtype=np.uint64))

    def __len__(self) -> int:
        """Rows of all processes."""
        order = np.argsort(self._packer.samples.lengths, kind="stable")
        return sum(1 for _ in self._cut(order))

    def _cut(self, order: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        ends = np.cumsum(self._packer.samples.lengths[order])
        begin = 0
        while begin < len(order):
            before = int(ends[begin - 1]) if begin else 0
            end = int(np.searchsorted(ends, before + self._max_tokens, side="right"))
            end = max(end, begin + 1)
            yield order[begin:end]
            begin = end


class _Packer:
    """Puts samples of one split into rows."""

    def __init__(self, prepared: Prepared, run: RunConfig, phase: Phase, split: Split) -> None:
        self._tokens = prepared.tokens(split)
        self.samples = samples(self._tokens.offsets, cut_of(run, phase, split))
        self._vocabulary = prepared.vocabulary
        self._run = run

    def row(self, numbers: NDArray[np.int64], keys: NDArray[np.uint64]) -> Batch:
        """The samples with these numbers, in this order, one after the other."""
        lengths = self.samples.lengths[numbers]
        begins = np.cumsum(lengths) - lengths
        row = np.empty(int(lengths.sum()), dtype=np.int64)
        places = begins + self._wrap(row, begins, begins + lengths - 1)
        stretches = Stretches(
            places, self.samples.sizes[numbers], self.samples.starts[numbers], keys
        )
        self._fill(row, stretches)
        positions = np.arange(len(row)) - np.repeat(begins, lengths)
        if self._run.objective == "mlm":
            targets, labels = mask(row, stretches, self._run.masking, self._vocabulary)
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

    def _fill(self, row: NDArray[np.int64], stretches: Stretches) -> None:
        places, sizes, starts = stretches.places, stretches.sizes, stretches.starts
        for place, size, start in zip(
            places.tolist(), sizes.tolist(), starts.tolist(), strict=True
        ):
            self._tokens.copy(start, row[place : place + size])
