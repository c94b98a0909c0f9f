"""One phase from a step to its end: fetch rows, update, tell, measure, save, stop when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase
from lmtrainer.dataset.batches import Batch
from lmtrainer.faults import InterruptedRunError
from lmtrainer.optim.schedules import learning_rate
from lmtrainer.train.divergence import DivergedError
from lmtrainer.train.engine import Engine, StepResult

Rows = Sequence[Batch]


@dataclass(frozen=True, kw_only=True)
class PhaseWork:
    """A phase, where it begins and where it ends, in finished steps."""

    phase: Phase
    index: int
    start: int
    steps: int
    rows: Callable[[int], Rows]
    """This rank's rows of a step."""
    epoch: Callable[[int], int] = lambda step: 0
    """In which a step begins."""


class Hooks(Protocol):
    """What happens around the steps. Every rank calls every hook; hooks may exchange data."""

    def stop_requested(self) -> bool: ...

    def stepped(self, step: int, rate: float, result: StepResult) -> None: ...

    def evaluate(self, step: int) -> None: ...

    def save(self, step: int, *, wait: bool) -> None: ...


def run_phase(engine: Engine, work: PhaseWork, run: RunConfig, hooks: Hooks) -> None:
    """Do all steps that are left. Raises InterruptedRunError after saving if a rank was asked to
    end, and DivergedError if the loss stops being a number."""
    for step, rows in _prefetched(work):
        rate = learning_rate(work.phase, step, work.steps)
        try:
            result = engine.step(rows, step=step, learning_rate=rate, stop=hooks.stop_requested())
        except FloatingPointError as fault:
            raise DivergedError(str(fault), first=step, last=step, learning_rate=rate) from None
        done = step + 1
        hooks.stepped(done, rate, result)
        last = done == work.steps
        if _due(run.evaluate.every_steps, done):
            hooks.evaluate(done)
        if last or result.stop or _due(run.checkpoint.every_steps, done):
            hooks.save(done, wait=last or result.stop)
        if result.stop and not last:
            raise InterruptedRunError(f"stopped after phase {work.phase.name} step {done}")


def _due(every: int | None, done: int) -> bool:
    return every is not None and done % every == 0


def _prefetched(work: PhaseWork) -> Iterator[tuple[int, Rows]]:
    """Each step with its rows, made while the step before is computed."""
    steps = range(work.start, work.steps)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rows") as pool:
        ahead = pool.submit(work.rows, work.start) if steps else None
        for step in steps:
            assert ahead is not None
            rows = ahead.result()
            ahead = pool.submit(work.rows, step + 1) if step + 1 < work.steps else None
            yield step, rows
