"""A run, stage by stage, in a folder of its own below the one that the user named."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import cast

from lmtrainer.commands.replay.machine import automatic_precision, threads_of
from lmtrainer.commands.replay.results import place, put_results
from lmtrainer.commands.replay.stages import STATE, run_stage
from lmtrainer.compat.translation import Group, RunStep
from lmtrainer.config import ResolvedRun, RunConfig, parse, resolve
from lmtrainer.config.precision import Precision
from lmtrainer.contract.output import RUN_FILE
from lmtrainer.durable import make_folder
from lmtrainer.faults import UserError
from lmtrainer.output import read_identity


def resolved(document: object, group: Group) -> ResolvedRun:
    """A configuration as this machine runs it; MistakesError if it is none."""
    return resolve(
        parse(RunConfig, document),
        precision=cast(Precision, automatic_precision()),
        threads=threads_of(group.processes),
    )


def carry_out_run(step: RunStep, group: Group) -> int:
    """All stages of a step on this node, then the results. Returns the exit code of the first stage
    that fails, else 0."""
    run = resolved(step.run, group)
    folder, results = Path(run.output.to), Path(step.results)
    if group.node_rank:
        return run_stage("train", run, group, folder) if "train" in step.stages else 0
    make_room(step, folder, results)
    if step.model is not None:
        run = _apart(run, folder)
    for stage in step.stages:
        code = run_stage(stage, run, group if stage == "train" else Group(), folder)
        if code:
            return code
        if stage == "prepare" and step.model is not None:
            take_over(run, step.model, folder)
    put_results(step, run, folder, results)
    return 0


def make_room(step: RunStep, folder: Path, results: Path) -> None:
    """Begin in an empty folder, go on in that of the same run, or begin anew where that is said;
    anything else would mix two runs."""
    if step.overwrite and (folder / RUN_FILE).is_file():
        shutil.rmtree(folder)
    strangers = [] if read_identity(folder) else _visible(results)
    if folder.parent == results and not _visible(folder) and folder.name in strangers:
        strangers.remove(
            folder.name
        )  # another node was here first, and has left no more than a log
    if strangers and "train" in step.stages and not step.overwrite:
        raise UserError(
            f"{results}: is not empty ({strangers[0]}) and holds no run to go on with; "
            "name another folder, or give --overwrite_output_dir"
        )
    make_folder(folder.absolute())


def _apart(run: ResolvedRun, folder: Path) -> ResolvedRun:
    """With something to train on beside the held-out text, as every dataset needs it: the same
    text under other names, which nothing is trained on."""
    from lmtrainer.text.sources import expand

    found = []
    for index, file in enumerate(expand(run.data.validation.files, {}, "text")):
        if not isinstance(file, Path) or file.is_dir():
            raise UserError(f"{file}: cannot be measured where it lies; copy it to this machine")
        again = folder / STATE / "text" / f"{index}-{file.name}"
        make_folder(again.absolute().parent)
        place(file, again)
        found.append(str(again))
    return dataclasses.replace(run, data=dataclasses.replace(run.data, train=tuple(found)))


def _visible(folder: Path) -> list[str]:
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name for name in names if not name.startswith("."))


def take_over(run: ResolvedRun, model: str, folder: Path) -> None:
    """Put a saved model where the evaluation of a run looks for its own."""
    from lmtrainer.commands.places import family_of
    from lmtrainer.contract.output import MODEL_FOLDER
    from lmtrainer.contract.reports import Position
    from lmtrainer.dataset.home import TOKENIZER
    from lmtrainer.models import build
    from lmtrainer.text.sources import saved
    from lmtrainer.train.finish import publish_model

    place = saved(model, {}, "model")
    loaded = build.from_folder(family_of(place), place)
    phase = run.phases[-1]
    publish_model(
        loaded,
        folder / TOKENIZER,
        folder / MODEL_FOLDER,
        position=Position(phase_index=len(run.phases) - 1, step=0, phase=phase.name),
        sequence_length=phase.sequence_length,
    )
