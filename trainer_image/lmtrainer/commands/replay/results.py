"""What an earlier kit's user looks for, in the folder that the command line names.

    config.json, model.safetensors, the tokenizer's files      the trained model
    checkpoint-N/        a checkpoint as a model's folder; epoch=E-step=S.ckpt for Lightning's
    eval_results_lm.txt, all_results.json ...                   what was measured
    compat.json          the command line, what became of its flags, the hardware it was meant for
    run/                 the trainer's own folder, whose files all these are

They are hard links where the file system has them, else copies: nothing takes space twice, and a
folder can be moved or read on its own. Each appears whole, in the place of an older one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from lmtrainer.checkpoint import FOLDER as CHECKPOINTS
from lmtrainer.checkpoint.layout import position_of
from lmtrainer.compat.translation import RunStep
from lmtrainer.config import ResolvedRun
from lmtrainer.contract.output import (
    EVALUATION_FILE,
    MODEL_CONFIG_FILE,
    MODEL_FOLDER,
    PICTURE_FILE,
    WEIGHTS_FILE,
)
from lmtrainer.dataset import TrainingRows, open_prepared
from lmtrainer.dataset.home import TOKENIZER
from lmtrainer.durable import LEFTOVER, MANIFEST_FILE, building, make_folder, replace
from lmtrainer.evaluate.events import FOLDER as EVENTS
from lmtrainer.evaluate.results import ALL_FILE, EVAL_FILE, TEXT_FILE, TRAIN_FILE

MEASURED = (TRAIN_FILE, EVAL_FILE, ALL_FILE, TEXT_FILE, EVALUATION_FILE, PICTURE_FILE)


def put_results(step: RunStep, run: ResolvedRun, folder: Path, results: Path) -> None:
    """Put the results of a run in `folder` into `results`."""
    make_folder(results.absolute())
    if "train" in step.stages:
        for path in _files(folder / MODEL_FOLDER):
            place(path, results / path.name)
        _put_checkpoints(step, run, folder, results)
    for path in (folder / name for name in MEASURED):
        if path.is_file():
            place(path, results / path.name)
    for name, text in step.files.items():
        replace(results / name, text)
    _put_events(folder / EVENTS, Path(step.events or results))
    for line in test_lines(folder) if step.layout == "test" else ():
        print(line, flush=True)


def test_lines(folder: Path) -> Iterator[str]:
    """`test_loss` and `test_ppl`, as the Lightning-style test.py prints them."""
    found = json.loads((folder / EVALUATION_FILE).read_text())
    yield f"test_loss = {found['loss']}"
    yield f"test_ppl = {found['perplexity']}"


def place(source: Path, target: Path) -> None:
    """Let `target` be the file `source`, in the place of an older one."""
    beside = target.with_name(f"{LEFTOVER}{target.name}-{secrets.token_hex(6)}")
    try:
        with contextlib.suppress(OSError):
            os.link(source, beside)
        if not beside.exists():
            shutil.copyfile(source, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name != MANIFEST_FILE)


def _put_checkpoints(step: RunStep, run: ResolvedRun, folder: Path, results: Path) -> None:
    """Each checkpoint as the folder of a model, with the tokenizer that belongs to it."""
    names = (MODEL_CONFIG_FILE, WEIGHTS_FILE)
    parent = results / CHECKPOINTS if step.layout == "lightning" else results
    make_folder(parent.absolute())
    for path in sorted((folder / CHECKPOINTS).iterdir()):
        position = position_of(path.name)
        if position is None:
            continue
        with building(parent / _name(step, run, folder, position.step)) as beside:
            for file in [path / name for name in names] + _files(folder / TOKENIZER):
                place(file, beside / file.name)


def _name(step: RunStep, run: ResolvedRun, folder: Path, number: int) -> str:
    if step.layout != "lightning":
        return f"checkpoint-{number}"
    return f"epoch={epoch_of(run, folder, number)}-step={number - 1}.ckpt"


def epoch_of(run: ResolvedRun, folder: Path, step: int) -> int:
    """The epoch, from 0, in which a step of the last phase ends."""
    last = len(run.phases) - 1
    return TrainingRows(open_prepared(run, folder, {}), run, last).epoch(step - 1)


def _put_events(source: Path, target: Path) -> None:
    """The event files for TensorBoard, where --logging_dir says."""
    if source.is_dir():
        make_folder(target.absolute())
        for path in _files(source):
            place(path, target / path.name)
