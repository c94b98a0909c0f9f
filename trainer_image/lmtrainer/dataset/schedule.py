"""How many samples a step takes, and where in the endless stream of samples it begins: a phase may
change its global batch from an epoch on. Called by `dataset.order` and `dataset.batches`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lmtrainer.config.phase import Phase
from lmtrainer.dataset.epochs import Epochs


@dataclass(frozen=True)
class Stretch:
    """Steps of one size, up to the next stretch."""

    step: int
    """The first of them."""
    place: int
    """Its first sample, counted over all epochs."""
    batch: int

    def steps_to(self, place: int) -> int:
        """Steps of this size that are needed to reach a place of the stream."""
        return max(0, math.ceil((place - self.place) / self.batch))


@dataclass(frozen=True)
class Batches:
    """The sizes of the steps of a phase, in order."""

    stretches: tuple[Stretch, ...]

    def at(self, step: int) -> tuple[int, int]:
        """First sample of a step, and how many it takes."""
        here = next(s for s in reversed(self.stretches) if s.step <= step)
        return here.place + (step - here.step) * here.batch, here.batch

    def steps_to(self, place: int) -> int:
        """Steps until the stream has been read up to a place, at least one."""
        here = next(s for s in reversed(self.stretches) if s.place < place)
        return max(1, here.step + here.steps_to(place))


def even(batch: int) -> Batches:
    """Steps that are all alike."""
    return Batches((Stretch(0, 0, batch),))


def batches_of(phase: Phase, epochs: Epochs) -> Batches:
    """The steps of a phase. A size begins with the first step that begins in
    its epoch: a step that reaches into it keeps the size before."""
    changes = [(change.epoch, change.global_batch_size) for change in phase.batch_schedule]
    return Batches(tuple(_stretches(phase.global_batch_size, changes, epochs)))


def _stretches(batch: int, changes: Sequence[tuple[int, int]], epochs: Epochs) -> Iterator[Stretch]:
    here = Stretch(0, 0, batch)
    for epoch, size in changes:
        steps = here.steps_to(epochs.begin(epoch))
        if steps:
            yield here
        here = Stretch(here.step + steps, here.place + steps * here.batch, size)
    yield here
