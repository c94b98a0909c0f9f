"""The stage `prepare`: text becomes a tokenizer and a dataset. One process, no accelerator."""

from __future__ import annotations

import time
from pathlib import Path

from lmtrainer.contract.output import CHECKPOINTS, MODEL_FOLDER
from lmtrainer.contract.reports import Progress
from lmtrainer.dataset import prepare
from lmtrainer.faults import UserError
from lmtrainer.output.identity import WAYS_OUT
from lmtrainer.stage import StageContext
from lmtrainer.stages.ends import claim_output, leave_record

REPORT_SECONDS = 0.2
"""Between two progress documents."""


def run(context: StageContext) -> None:
    """Prepare, or find that the very same was prepared before and verify it."""
    with claim_output(context) as held:
        prepared = prepare(
            context.run,
            held.folder,
            context.node.claims,
            _Progress(context),
            lambda line: print(line, flush=True),
            lambda: _refuse_if_trained(held.folder),
        )
        leave_record(context, held, prepared.manifest_sha256)


def _refuse_if_trained(output: Path) -> None:
    """Training may not go on with another text as if it were the same."""
    if any((output / CHECKPOINTS).glob("[!.]*")) or (output / MODEL_FOLDER).exists():
        raise UserError(
            "data: the text or the tokenizer has changed since "
            f"{output} was trained on it; change it back, {WAYS_OUT}"
        )


class _Progress:
    """Called often with (activity, bytes done, bytes in all); tells seldom."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._last = 0.0
        self._activity = ""

    def __call__(self, activity: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if activity == self._activity and now - self._last < REPORT_SECONDS and done != total:
            return
        self._last, self._activity = now, activity
        self._context.reports.progress(
            Progress(
                job_uid=self._context.node.job_uid,
                attempt=self._context.node.attempt,
                stage="prepare",
                activity=activity,
                unit="bytes",
                done=done,
                total=total,
            )
        )
