"""Wherever training was cut off, it ends with the weights and losses of a run that never was; what
cannot go on truthfully is refused. `make chaos` tries every step."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.config import document
from lmtrainer.contract.arguments import launch_arguments
from lmtrainer.contract.environment import NodeEnvironment, to_env
from lmtrainer.faults import UserError
from lmtrainer.stages import prepare, train
from tests.faultpoints import points
from tests.rows.small_run import DOCUMENT, context, run_of
from tests.runs import metrics

pytestmark = pytest.mark.chaos

STEPS = 12
PHASE = {"name": "main", "steps": STEPS, "sequenceLength": 16, "globalBatchSize": 4}
NO_DROPOUT = {"dropout": 0, "attentionDropout": 0}
"""What is dropped depends on which rank computes a sequence."""
EVERY_STEP = {"everySteps": 1, "keep": STEPS}


@dataclasses.dataclass
class Finished:
    """A run that nothing disturbed."""

    folder: Path
    run: Any


def begin(folder: Path, sizes: Mapping[str, Any] | None = None, **phase: Any) -> Finished:
    """Prepared only, as yet."""
    model = {**DOCUMENT["model"], "config": {**DOCUMENT["model"]["config"], **(sizes or {})}}
    run = run_of(folder, model=model, phases=[PHASE | phase], checkpoint=EVERY_STEP)
    prepare.run(context(folder, "prepare", run))
    return Finished(folder, run)


def cut_off(finished: Finished, folder: Path, step: int) -> Any:
    """Put a copy of it into `folder`, as if it had been killed two steps after the checkpoint of
    `step`. Returns the copy's configuration."""
    shutil.copytree(finished.folder, folder, dirs_exist_ok=True)
    output = folder / "out"
    for path in (output / "checkpoints").iterdir():
        if int(path.name[-8:]) > step:
            shutil.rmtree(path)
    shutil.rmtree(output / "model")
    (output / "records/train.json").unlink()
    kept = [line for line in metrics(output) if line["step"] <= step + 2]
    (output / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    run = finished.run
    return dataclasses.replace(run, output=dataclasses.replace(run.output, to=str(output)))


def result(folder: Path) -> tuple[str, list[tuple[int, float]]]:
    """sha256 of the weights, and the loss of each step."""
    weights = (folder / "out/model/model.safetensors").read_bytes()
    losses = [(row["step"], row["loss"]) for row in metrics(folder / "out") if "loss" in row]
    return hashlib.sha256(weights).hexdigest(), losses


def resumed_at(folder: Path) -> int:
    found: int = json.loads((folder / "node/progress.json").read_text())["resumedFrom"]["step"]
    return found


def launch(folder: Path, run: Any, ranks: int, attempt: int) -> None:
    """The stage `train` on one node, by its launcher."""
    config, node = folder / "run.json", folder / "node"
    config.write_text(json.dumps(document(run)))
    shutil.rmtree(node, ignore_errors=True)
    node.mkdir()
    environment = NodeEnvironment(
        job_uid="job-a",
        attempt=attempt,
        nproc_per_node=ranks,
        master_port=0,
        status_port=0,
        node_dir=str(node),
        termination_log=str(node / "termination"),
    )
    command = [sys.executable, "-m", "lmtrainer", *launch_arguments("train", str(config))]
    subprocess.run(command, env={**os.environ, **to_env(environment)}, check=True, timeout=120)


@pytest.fixture(scope="module", params=[4, 2], ids=["whole batches", "micro-batches"])
def alone(request: Any, tmp_path_factory: Any) -> Finished:
    """Of one rank."""
    finished = begin(tmp_path_factory.mktemp("alone"), microBatchSize=request.param)
    train.run(context(finished.folder, "train", finished.run))
    return finished


@pytest.fixture(scope="module")
def pair(tmp_path_factory: Any) -> Finished:
    """Of two ranks."""
    finished = begin(tmp_path_factory.mktemp("pair"), NO_DROPOUT)
    launch(finished.folder, finished.run, ranks=2, attempt=1)
    return finished


@pytest.mark.parametrize("step", points(range(1, STEPS), sample=(1, 6, 11)))
def test_one_rank_goes_on_from_any_step(alone: Finished, tmp_path: Path, step: int) -> None:
    run = cut_off(alone, tmp_path, step)
    train.run(context(tmp_path, "train", run, attempt=2))
    assert resumed_at(tmp_path) == step
    assert result(tmp_path) == result(alone.folder)


@pytest.mark.slow
@pytest.mark.parametrize("step", points(range(1, STEPS), sample=(6,)))
def test_two_ranks_go_on_from_any_step(pair: Finished, tmp_path: Path, step: int) -> None:
    run = cut_off(pair, tmp_path, step)
    launch(tmp_path, run, ranks=2, attempt=2)
    assert resumed_at(tmp_path) == step
    assert result(tmp_path) == result(pair.folder)


@pytest.mark.slow
@pytest.mark.parametrize("step", points(range(1, STEPS), sample=(4,)))
def test_another_number_of_ranks_goes_on_with_the_same_losses(
    pair: Finished, tmp_path: Path, step: int
) -> None:
    run = cut_off(pair, tmp_path, step)
    train.run(context(tmp_path, "train", run, attempt=2))
    assert resumed_at(tmp_path) == step
    ours, theirs = dict(result(tmp_path)[1]), dict(result(pair.folder)[1])
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_another_text_is_refused_before_the_first_step(tmp_path: Path) -> None:
    begun = begin(tmp_path)
    train.run(context(tmp_path, "train", begun.run))
    before, text = result(tmp_path), tmp_path / "text.txt"
    words = text.read_text()
    text.write_text(words + "\n\nOne more document.\n")
    with pytest.raises(UserError, match="the text or the tokenizer has changed"):
        prepare.run(context(tmp_path, "prepare", begun.run, attempt=2))
    text.write_text(words)
    for attempt, (name, stage) in enumerate((("prepare", prepare), ("train", train)), start=3):
        stage.run(context(tmp_path, name, begun.run, attempt=attempt))
    assert result(tmp_path) == before
