"""Rows 102 to 104, 107, 121 and 124: whole runs in this process, with accidents."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lmtrainer import checkpoint
from lmtrainer.dataset.batches import Batch
from lmtrainer.faults import InterruptedRunError, UserError
from lmtrainer.stages import prepare, train
from lmtrainer.train import around
from lmtrainer.train.engine import Engine, StepResult
from tests.rows.small_run import carry_out, context, run_of
from tests.runs import metrics

ONE_PHASE = [{"name": "main", "steps": 12, "sequenceLength": 16, "globalBatchSize": 4}]


def prepared(folder: Path, **fields: Any) -> Any:
    folder.mkdir(exist_ok=True)
    run = run_of(folder, **{"phases": ONE_PHASE, **fields})
    prepare.run(context(folder, "prepare", run))
    return run


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "out/model/model.safetensors").read_bytes()).hexdigest()


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in metrics(folder / "out") if "loss" in row]


class Accidents:
    """Makes the loss of given batches of a run not a number, and its gradients with it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bad: Sequence[int]) -> None:
        self.bad = set(bad)
        self.seen: list[str] = []
        self.names: list[str] = []
        real = Engine._backward

        def backward(engine: Engine, rows: Sequence[Batch], *rest: Any) -> torch.Tensor:
            name = hashlib.sha256(b"".join(row.tokens.tobytes() for row in rows)).hexdigest()
            if name not in self.names:
                self.names.append(name)
            self.seen.append(name)
            found = real(engine, rows, *rest)
            if self.names.index(name) in self.bad:
                found = found * float("nan")
                for parameter in engine.model.parameters():
                    assert parameter.grad is not None
                    parameter.grad *= float("nan")
            return found

        monkeypatch.setattr(Engine, "_backward", backward)


def stopping(run_context: Any, monkeypatch: pytest.MonkeyPatch, at: int) -> Any:
    """The same context, asked to end during the step `at`."""
    real = Engine.step

    def step(engine: Engine, rows: Any, **options: Any) -> StepResult:
        if options["step"] + 1 == at:
            run_context.stop.requested = True
        return real(engine, rows, **{**options, "stop": run_context.stop.requested})

    monkeypatch.setattr(Engine, "step", step)
    return run_context


def test_row_121_a_loss_that_is_no_number_goes_back_and_leaves_the_batches_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(tmp_path)
    accidents = Accidents(monkeypatch, bad=[6])
    train.run(context(tmp_path, "train", run))
    # Steps 0 to 5 were fine, 4 is the last one saved; 4 and 5 are done again with batches 7 and 8.
    order = [accidents.names.index(name) for name in accidents.seen]
    assert order == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    rows = metrics(tmp_path / "out")
    (event,) = [row for row in rows if "rolledBackFrom" in row]
    assert event["step"] == 6
    assert (event["rolledBackFrom"], event["skippedSteps"]) == (7, 1)
    assert event["reason"] == "loss is nan"
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 13))
    record = json.loads((tmp_path / "out/records/train.json").read_text())
    assert record["rollbacks"] == 1
    assert json.loads((tmp_path / "node/progress.json").read_text())["rollbacks"] == 1


def test_row_121_before_the_first_checkpoint_it_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(tmp_path)
    accidents = Accidents(monkeypatch, bad=[1])
    train.run(context(tmp_path, "train", run))
    order = [accidents.names.index(name) for name in accidents.seen]
    assert order[:4] == [0, 1, 2, 3]
    assert [row["step"] for row in metrics(tmp_path / "out") if "loss" in row] == list(range(1, 13))
    assert losses(tmp_path)[0] == pytest.approx(5.7, abs=0.2), "the first weights are there again"


def test_row_121_a_run_that_goes_wrong_again_and_again_fails_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepared(tmp_path, divergence={"maxRollbacks": 2})
    Accidents(monkeypatch, bad=range(5, 50))
    with pytest.raises(UserError, match=r"phases\[0\] \(main\) step 5: loss is nan.*2 roll-backs"):
        train.run(context(tmp_path, "train", run))


def test_row_121_stopped_behind_a_roll_back_it_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, stop in (("whole", None), ("parts", 9)):
        folder = tmp_path / name
        with monkeypatch.context() as patch:
            run = prepared(folder)
            Accidents(patch, bad=[5])
            first = context(folder, "train", run)
            if stop is None:
                train.run(first)
                continue
            with patch.context() as inner, pytest.raises(InterruptedRunError):
                train.run(stopping(first, inner, stop))
            train.run(context(folder, "train", run, attempt=2))
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_row_102_the_newest_and_the_best_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured and saved each second step; the loss of step 4 is made the lowest."""
    fields = {"checkpoint": {"everySteps": 2, "keep": 2}, "evaluate": {"everySteps": 2}}
    run = prepared(tmp_path, **fields)
    real, times = around.measure, itertools.count(1)

    def measured(model: Any, *rest: Any) -> Any:
        found = real(model, *rest)
        return dataclasses.replace(found, loss=found.loss / 2) if next(times) == 2 else found

    monkeypatch.setattr(around, "measure", measured)
    train.run(context(tmp_path, "train", run))
    names = sorted(path.name for path in (tmp_path / "out/checkpoints").iterdir())
    assert names == [f"0-main-step-{step:08d}" for step in (4, 10, 12)]
    state = json.loads((tmp_path / "out/checkpoints" / names[0] / "state.json").read_text())
    rows = [row for row in metrics(tmp_path / "out") if "heldOutLoss" in row]
    assert state["heldOutLoss"] == min(row["heldOutLoss"] for row in rows)


def test_row_107_checkpoints_are_found_by_epoch_and_step(tmp_path: Path) -> None:
    run = prepared(tmp_path, checkpoint={"everySteps": 4, "keep": 9})
    train.run(context(tmp_path, "train", run))
    root = tmp_path / "out/checkpoints"
    epochs = {}
    for folder in sorted(root.iterdir()):
        epoch = json.loads((folder / "state.json").read_text())["epoch"]
        step = int(folder.name[-8:])
        name = json.loads((folder / "manifest.json").read_text())["facts"]["epochName"]
        assert name == f"epoch={epoch}-step={step}"
        assert checkpoint.find(root, f"{name}.ckpt") == checkpoint.find(root, folder.name) == folder
        epochs[step] = epoch
    assert epochs[4] == 0
    assert epochs[12] == max(epochs.values())
    assert checkpoint.find(root, "epoch=9-step=9.ckpt") is None


def test_row_103_a_run_that_was_stopped_anywhere_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, in both formats that scale or round by chance, and in the middle of a save's
    interval."""
    for fields in ({}, {"precision": "fp16"}, {"precision": "bf16-true"}):
        found = []
        for stops in ((), (3, 7)):
            folder = tmp_path / f"{len(stops)}-{fields.get('precision', 'fp32')}"
            run = prepared(folder, **fields)
            for attempt, at in enumerate(stops, 1):
                with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
                    train.run(stopping(context(folder, "train", run, attempt=attempt), patch, at))
            train.run(context(folder, "train", run, attempt=9))
            found.append((weights(folder), losses(folder)))
        assert found[0] == found[1]


def test_row_103_a_checkpoint_is_of_its_step_however_slow_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is made while the next step computes; its update must wait for it."""
    found = []
    for delay in (0.0, 0.1):
        folder = tmp_path / str(delay)
        run = prepared(folder, checkpoint={"everySteps": 3, "keep": 9})
        real = checkpoint.BackgroundSaver._copy

        def slowly(saver: Any, *rest: Any, real: Any = real, delay: float = delay) -> Any:
            time.sleep(delay)
            return real(saver, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint.BackgroundSaver, "_copy", slowly)
            train.run(context(folder, "train", run))
        files = sorted((folder / "out/checkpoints").glob("0-*/*.safetensors"))
        found.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert len(found[0]) == 8
    assert found[0] == found[1]


def test_row_104_a_fresh_folder_begins_its_own_is_resumed_and_anothers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = prepared(tmp_path)
    first = context(tmp_path, "train", run)
    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
        train.run(stopping(first, patch, 5))
    train.run(context(tmp_path, "train", run, attempt=2))
    assert json.loads((tmp_path / "node/progress.json").read_text())["resumedFrom"]["step"] == 5
    other = run_of(tmp_path, phases=ONE_PHASE, seed=7)
    with pytest.raises(UserError, match="seed"):
        train.run(context(tmp_path, "train", other, attempt=3))


def test_row_124_two_runs_have_equal_losses_and_another_seed_has_others(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        carry_out(tmp_path / name, seed=seed)
        found.append(losses(tmp_path / name))
    assert found[0] == found[1]
    assert found[0] != found[2]
