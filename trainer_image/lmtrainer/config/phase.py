"""One phase of training: how long, on what lengths and batches, at which learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.model import Objective
from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.config.schema import required, setting

AUTO_MICRO_BATCH = 32
"""Largest micro batch that `auto` picks, in sequences."""


@dataclass(frozen=True, kw_only=True)
class BatchChange:
    """Another global batch from an epoch on."""

    epoch: int = required("from which it holds; the first is 0", minimum=1, maximum=1_000_000)
    global_batch_size: int = required("sequences of a step", minimum=1, maximum=4_194_304)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A phase begins at step 0 with the weights of the phase before it and a fresh optimizer."""

    name: str = required(
        "name of the phase; checkpoints carry it",
        pattern=r"[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?",
        pattern_help="must be lower-case letters, digits and '-', at most 30 characters",
    )
    steps: int | None = setting(
        None, "optimizer steps of the phase", minimum=1, maximum=1_000_000_000
    )
    epochs: float | None = setting(
        None, "passes over the training text, instead of steps", above=0, maximum=1_000_000
    )
    share: float | None = setting(None, "of the job's steps, instead of both", above=0, maximum=1)
    objective: Objective | None = setting(None, "instead of the job's")
    sequence_length: int = setting(
        128, "longest sequence, special tokens included", minimum=4, maximum=1_048_576
    )
    global_batch_size: int = setting(
        256, "sequences of one optimizer step, over all processes", minimum=1, maximum=4_194_304
    )
    batch_schedule: tuple[BatchChange, ...] = setting(
        tuple, "other batch sizes from later epochs on", max_items=20
    )
    micro_batch_size: int | Literal["auto"] = setting(
        "auto", "sequences that one process computes at once; the rest is accumulated", minimum=1
    )
    learning_rate: float = setting(1e-4, "peak learning rate", above=0, maximum=10)
    warmup_steps: int | None = setting(
        None, "steps until the peak; left out, warmupShare of the steps", minimum=0
    )
    warmup_share: float | None = setting(
        None, "share of the steps until the peak; left out, a tenth", minimum=0, maximum=1
    )
    warmup_shape: Literal["linear", "sqrt"] = setting(
        "linear", "up to the peak: in a line, or as the root of the step"
    )
    schedule: Literal["linear", "cosine", "constant"] = setting(
        "linear", "after the warm-up: down to finalLearningRate, or constant"
    )
    optimizer: OptimizerConfig | None = setting(None, "instead of the job's")
    final_learning_rate: float = setting(0.0, "rate at the end of the phase", minimum=0, maximum=10)

    def mistakes(self) -> Iterator[Mistake]:
        if self.steps is not None and self.epochs is not None:
            rule = "steps and epochs are both given"
            yield Mistake("steps", str(self.steps), rule, "give one", about=("epochs",))
        elif self.share is not None and (self.steps is not None or self.epochs is not None):
            rule = "is given beside steps or epochs"
            about = ("steps", "epochs")
            yield Mistake("share", f"{self.share:g}", rule, "give one of them", about=about)
        elif self.steps is None and self.epochs is None and self.share is None:
            about = ("epochs", "share")
            way_out = "give steps or epochs, or a share of the job's steps"
            yield Mistake("steps", "", "required", way_out, about=about)
        if self.steps is not None and (self.warmup_steps or 0) > self.steps:
            yield Mistake(
                "warmupSteps",
                str(self.warmup_steps),
                f"is more than steps {self.steps}",
                "lower it or train longer",
                about=("steps",),
            )
        yield from self._rate_mistakes()
        yield from self._schedule_mistakes()
        micro = self.micro_batch_size
        if isinstance(micro, int) and micro > self.global_batch_size:
            yield Mistake(
                "microBatchSize",
                str(micro),
                f"is more than globalBatchSize {self.global_batch_size}",
                "lower it",
                about=("globalBatchSize",),
            )

    def _schedule_mistakes(self) -> Iterator[Mistake]:
        epochs = [change.epoch for change in self.batch_schedule]
        for index, epoch in enumerate(epochs[1:], 1):
            if epoch <= epochs[index - 1]:
                rule = f"does not come after epoch {epochs[index - 1]}"
                yield Mistake(
                    f"batchSchedule[{index}].epoch", str(epoch), rule, "put them in order"
                )

    def _rate_mistakes(self) -> Iterator[Mistake]:
        if self.warmup_steps is not None and self.warmup_share is not None:
            rule = "warmupSteps and warmupShare are both given"
            shown = f"{self.warmup_share:g}"
            yield Mistake("warmupShare", shown, rule, "give one", about=("warmupSteps",))
        if self.final_learning_rate > self.learning_rate:
            yield Mistake(
                "finalLearningRate",
                f"{self.final_learning_rate:g}",
                f"is more than learningRate {self.learning_rate:g}",
                "lower it",
                about=("learningRate",),
            )


def warmup_steps(phase: Phase, steps: int) -> int:
    """Steps of the warm-up of a phase of `steps`: as configured, else a tenth."""
    if phase.warmup_steps is not None:
        return phase.warmup_steps
    if phase.warmup_share is not None:
        return math.ceil(phase.warmup_share * steps)
    return steps // 10


@dataclass(frozen=True)
class BatchShape:
    """How a global batch is cut: sequences a process computes at once, and how often it does so."""

    micro: int
    accumulation: int


def batch_shape(phase: Phase, world_size: int, size: int | None = None) -> BatchShape:
    """Cut a phase's global batch, or one of `size`, over `world_size` processes. With `auto` a
    share may be uneven."""
    share = -(-(size or phase.global_batch_size) // world_size)
    # With `auto` all steps of a phase fit where those of its first size do.
    first = -(-phase.global_batch_size // world_size)
    given = phase.micro_batch_size
    micro = min(first, AUTO_MICRO_BATCH) if given == "auto" else given
    return BatchShape(micro, -(-share // micro))


def batch_mistakes(phase: Phase, world_size: int) -> Iterator[Mistake]:
    """What only the number of processes can tell: each batch must come out even."""
    yield from _uneven("globalBatchSize", phase.global_batch_size, phase, world_size)
    for index, change in enumerate(phase.batch_schedule):
        place = f"batchSchedule[{index}].globalBatchSize"
        yield from _uneven(place, change.global_batch_size, phase, world_size)


def _uneven(place: str, size: int, phase: Phase, world_size: int) -> Iterator[Mistake]:
    micro = phase.micro_batch_size
    if micro == "auto":
        if size < world_size:
            rule = f"is less than the {world_size} processes: some would have nothing to do"
            yield Mistake(place, str(size), rule, f"give at least {world_size}")
        return
    unit = micro * world_size
    if size % unit:
        near = sorted({max(unit, size // unit * unit), (size // unit + 1) * unit})
        yield Mistake(
            place,
            str(size),
            f"must be a multiple of {unit}: microBatchSize {micro} x {world_size} processes",
            f"{' or '.join(map(str, near))} fits",
            about=("microBatchSize",),
        )
