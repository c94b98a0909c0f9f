"""Progress of work that is counted in bytes. Called by the stages `prepare` and `evaluate`."""

from __future__ import annotations

import time

from lmtrainer.contract.reports import Progress
from lmtrainer.faults import InterruptedRunError
from lmtrainer.stage import StageContext

REPORT_SECONDS = 0.2
"""Between two progress documents."""


class Bytes:
    """Called often with (activity, bytes done, bytes in all); tells seldom. InterruptedRunError
    once the stage is asked to end: what is done of it is kept."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._last = 0.0
        self._activity = ""
        self._kept = 0

    def keep(self, count: int) -> None:
        """So many bytes more need not be worked on again, whatever happens."""
        self._kept += count

    def __call__(self, activity: str, done: int, total: int | None) -> None:
        if self._context.stop.requested:
            raise InterruptedRunError(f"asked to end; the next attempt goes on to {activity}")
        now = time.monotonic()
        if activity == self._activity and now - self._last < REPORT_SECONDS and done != total:
            return
        self._last, self._activity = now, activity
        self._context.reports.progress(
            Progress(
                job_uid=self._context.node.job_uid,
                attempt=self._context.node.attempt,
                stage=self._context.stage,
                activity=activity,
                unit="bytes",
                done=done,
                total=total,
                kept=self._kept,
            )
        )
