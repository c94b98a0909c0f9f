"""What rank 0 tells while it trains: a line of metrics a step, and how far the run is."""

from __future__ import annotations

import dataclasses
import math
import time

from lmtrainer.contract.reports import Position, Progress
from lmtrainer.evaluate.measure import Totals
from lmtrainer.evaluate.results import held_out
from lmtrainer.output import MetricsLog
from lmtrainer.output.metrics import ROLLED_BACK
from lmtrainer.progress import RankReports
from lmtrainer.train.divergence import DivergedError
from lmtrainer.train.engine import StepResult
from lmtrainer.train.monitor import Monitor

REPORT_SECONDS = 0.5
"""Between two progress documents: often enough for a person, seldom enough to cost nothing."""

RATE_SECONDS = 10.0
"""Speed is averaged over about this long."""

MONITOR_SECONDS = 10.0
"""Between two looks at the GPUs."""


class Telemetry:
    """The voice of one attempt; steps are counted over all phases."""

    def __init__(
        self,
        reports: RankReports,
        log: MetricsLog,
        progress: Progress,
        monitor: Monitor = dict,
    ) -> None:
        self._reports = reports
        self._monitor = monitor
        self._last_look = -math.inf
        self._log = log
        self._progress = progress
        self._last_report = 0.0
        self._last_step = time.monotonic()
        self._seconds_per_step: float | None = None

    def begin_phase(self, name: str, done: int) -> None:
        """Steps count from `done`, those of the whole run; the clock starts anew."""
        self._last_step = time.monotonic()
        self._change(activity=f"phase {name}", done=done)
        self._report()

    def stepped(self, position: Position, rate: float, result: StepResult) -> None:
        seconds = self._clock()
        tokens_per_second = (
            result.tokens / self._seconds_per_step if self._seconds_per_step else None
        )
        self._log.append(
            position,
            loss=result.loss,
            learningRate=rate,
            gradientNorm=result.gradient_norm,
            tokens=result.tokens,
            targets=result.targets,
            seconds=round(seconds, 6),
            **_of_scale(result),
            **_parts(result),
        )
        done = self._progress.done + 1
        left = (self._progress.total or done) - done
        self._change(
            done=done,
            position=position,
            loss=result.loss,
            learning_rate=rate,
            tokens_per_second=tokens_per_second,
            eta_seconds=left * (self._seconds_per_step or seconds),
            first_step_at=self._progress.first_step_at or time.time(),
        )
        if time.monotonic() - self._last_report >= REPORT_SECONDS:
            self._report()
        self._look(position)

    def measured(self, position: Position, totals: Totals) -> None:
        self._log.append(position, **held_out(totals))
        self._last_step = time.monotonic()

    def rolled_back(
        self, to: Position | None, at: Position, fault: DivergedError, *, skipped: int, times: int
    ) -> None:
        """Training went wrong and goes on from checkpoint `to`, which is position `at`. `times`:
        roll-backs of the run so far; `skipped`: batches of the phase that are left out from now."""
        self._log.rewind(to)
        last = {ROLLED_BACK: fault.last + 1}
        self._log.append(at, **last, reason=str(fault), skippedSteps=skipped)
        place = f"step {fault.last + 1}: {fault}; back to phase {at.phase} step {at.step}"
        print(f"{place}, {skipped} batches are left out", flush=True)
        self._change(rollbacks=times, durable=to, position=at)
        self._report()

    def before_save(self) -> None:
        """No line of a saved step may be missing later."""
        self._log.sync()

    def saved(self, position: Position) -> None:
        self._change(durable=position)
        self._report()
        self._last_step = time.monotonic()

    def _clock(self) -> float:
        """Seconds of the step that has just ended; moves the average."""
        now = time.monotonic()
        seconds = now - self._last_step
        self._last_step = now
        average = self._seconds_per_step or seconds
        weight = min(1.0, seconds / RATE_SECONDS)
        self._seconds_per_step = average + weight * (seconds - average)
        return seconds

    def _look(self, position: Position) -> None:
        """The first step and one now and then come with numbers of the GPUs."""
        if time.monotonic() - self._last_look >= MONITOR_SECONDS:
            self._last_look = time.monotonic()
            numbers = self._monitor()
            if numbers:
                self._log.append(position, **numbers)

    def _change(self, **changes: object) -> None:
        self._progress = dataclasses.replace(self._progress, **changes)  # type: ignore[arg-type]

    def _report(self) -> None:
        self._last_report = time.monotonic()
        self._reports.progress(self._progress)


def _of_scale(result: StepResult) -> dict[str, float | int]:
    """Where the loss is scaled: by how much, and whether the step was skipped for it."""
    if result.loss_scale == 1.0:
        return {}
    return {"lossScale": result.loss_scale, "skipped": int(result.skipped)}


def _parts(result: StepResult) -> dict[str, float]:
    """The parts of a joint loss, under the names that they have in metrics.jsonl."""
    if result.pairs is None:
        return {}
    return {
        "mlmLoss": result.pairs.words_loss,
        "nspLoss": result.pairs.loss,
        "nspAccuracy": result.pairs.accuracy,
    }
