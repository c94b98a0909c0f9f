"""The stage `evaluate`: the saved model on the held-out text, from the folder that a user gets.

Nothing of the training process is used, only what lies in the output folder.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmtrainer.config import config_hash, document
from lmtrainer.contract.output import EVALUATION_FILE, MODEL_FOLDER, PICTURE_FILE
from lmtrainer.contract.reports import Completion, Progress
from lmtrainer.dataset import EvaluationRows, Prepared, open_prepared
from lmtrainer.dataset.batches import Batch
from lmtrainer.durable import MANIFEST_FILE, read_small, sha256_of, verify_manifest
from lmtrainer.evaluate import card, events, fill, picture, report, results
from lmtrainer.evaluate.measure import Totals, measure, unigram_losses
from lmtrainer.evaluate.results import held_out
from lmtrainer.models import build
from lmtrainer.output import Claim, read_metrics, verified_record
from lmtrainer.parallel.world import World, join, leave
from lmtrainer.stage import StageContext
from lmtrainer.stages.copying import copy_results
from lmtrainer.stages.ends import claim_output, leave_note, leave_record

MEASURED = "measured"
"""The part of the work that is done before results are copied."""


def run(context: StageContext) -> None:
    """Measure, draw and report; or find that this very model was measured like this before."""
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(claim_output(context))
        verify_manifest(held.folder / MODEL_FOLDER)
        record = _found(context, held) or _found(context, held, MEASURED)
        if record is None:
            world = join(context)
            stack.callback(leave, world)
            sha256 = _evaluate(context, held, world)
            if context.run.output.copy_to is not None:
                leave_note(context, held, sha256, MEASURED)
        else:
            sha256 = record.manifest_sha256
        copy_results(context, held)
        leave_record(context, held, sha256)


def _found(context: StageContext, held: Claim, part: str = "") -> Completion | None:
    return verified_record(
        held.folder,
        "evaluate",
        config_hash=config_hash(context.run),
        manifest=held.folder / EVALUATION_FILE,
        check=lambda folder: _check(folder, _facts(context, held)),
        part=part,
    )


def _facts(context: StageContext, held: Claim) -> dict[str, Any]:
    """What was evaluated, and how: the same again would say the same."""
    return {
        "model": MODEL_FOLDER,
        "modelManifest": sha256_of(held.folder / MODEL_FOLDER / MANIFEST_FILE),
        "settings": document(context.run.evaluate),
        "lossCurve": PICTURE_FILE,
    }


def _check(folder: Path, facts: dict[str, Any]) -> None:
    found = json.loads(read_small(folder / EVALUATION_FILE))
    if any(found.get(name) != value for name, value in facts.items()):
        raise ValueError(f"{EVALUATION_FILE} is of another model or other settings")
    for name in (PICTURE_FILE, f"{MODEL_FOLDER}/{card.FILE}"):
        if not (folder / name).is_file():
            raise ValueError(f"{name} is gone")


def _evaluate(context: StageContext, held: Claim, world: World) -> str:
    run = context.run
    assert run.model.type is not None, "the plan resolves it"
    prepared = open_prepared(run, held.folder, context.node.claims)
    folder = held.folder / MODEL_FOLDER
    model = build.from_folder(run.model.type, folder).to(world.device)
    totals = measure(model, _told(context, prepared), run, world, unigram_losses(prepared.counts))
    filled = [fill.fill(model, folder, text, device=world.device) for text in run.evaluate.fill]
    metrics = list(read_metrics(held.folder))
    baseline = totals.baseline / totals.predictions
    picture.draw(metrics, held.folder / PICTURE_FILE, baseline=baseline)
    held.fence()
    found = results.write(held.folder, totals, metrics)
    parameters = model.num_parameters()
    card.write(folder, run, prepared, totals, found, parameters=parameters)
    if run.output.tensorboard:
        events.write(held.folder, _with_end(metrics, totals), fence=held.fence)
    return report.write(held.folder, totals, filled, _facts(context, held))


def _with_end(metrics: list[dict[str, Any]], totals: Totals) -> list[dict[str, Any]]:
    """The measurements of training and, behind the last step, this one, unless it was taken there
    as well."""
    if not metrics or "heldOutLoss" in metrics[-1]:
        return metrics
    place = {name: metrics[-1].get(name) for name in ("phaseIndex", "phase", "step")}
    return [*metrics, {**place, **held_out(totals)}]


def _told(context: StageContext, prepared: Prepared) -> Iterator[Batch]:
    """The held-out text in the lengths of the last phase, row by row, each with a word about how
    far the measurement is."""
    rows = EvaluationRows(prepared, context.run, len(context.run.phases) - 1)
    total = len(rows)
    for index, row in enumerate(rows.rows(0, 1)):
        yield row
        context.reports.progress(
            Progress(
                job_uid=context.node.job_uid,
                attempt=context.node.attempt,
                stage="evaluate",
                activity="held-out text",
                unit="batches",
                done=index + 1,
                total=total,
            )
        )
