"""Results in a store: what of the output folder is copied there, and when."""

from __future__ import annotations

import functools

from lmtrainer.contract.output import (
    CONFIGURATION_FILE,
    EVALUATION_FILE,
    MODEL_FOLDER,
    PICTURE_FILE,
)
from lmtrainer.dataset.summary import SUMMARY_FILE
from lmtrainer.evaluate import events, results
from lmtrainer.output import METRICS_FILE, Claim
from lmtrainer.output.copy import copy
from lmtrainer.output.selection import results_in
from lmtrainer.stage import StageContext
from lmtrainer.stages.bytes import Bytes
from lmtrainer.stages.ends import reserve_copy

RESULTS = (
    MODEL_FOLDER,
    EVALUATION_FILE,
    *results.FILES,
    PICTURE_FILE,
    METRICS_FILE,
    events.FOLDER,
    SUMMARY_FILE,
    CONFIGURATION_FILE,
)
"""Files and folders for who uses the model: no checkpoints, and nothing that a run needs itself."""


def copy_results(context: StageContext, held: Claim) -> None:
    """Copy the results, if they are to be; they are proven to be there when this returns."""
    folder = reserve_copy(context)
    if folder is None:
        return
    tell = functools.partial(Bytes(context), "copy results")
    files = results_in(held.folder, RESULTS)
    print(copy(held, files, folder, context.run, names=RESULTS, tell=tell), flush=True)
