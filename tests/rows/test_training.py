"""Rows 75, 76, 83, 91, 94 and 95: the same step in parts, in larger batches later on, in less
memory, with kernels made before."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lmtrainer.commands.compile import compile_ahead
from lmtrainer.config import RunConfig, parse
from lmtrainer.config.phase import Phase, batch_mistakes, batch_shape
from lmtrainer.dataset.batches import Batch, steps_of
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.order import Order
from lmtrainer.dataset.schedule import batches_of
from lmtrainer.models import build
from lmtrainer.models.compiled import compile_parts
from lmtrainer.models.memory import spare
from lmtrainer.models.objective import Objective, to_device
from tests.rows.engines import ALONE, SIZES, VOCABULARY, engine_of, model_of, row, run_of

FAMILIES = ("bert", "roberta", "gpt2", "groupbert")


def gradients(run: RunConfig, rows: list[Batch]) -> dict[str, torch.Tensor]:
    """Of one step, before they are scaled and clipped."""
    engine = engine_of(run)
    engine._backward(rows, 0.0, 1.0)
    return {name: p.grad for name, p in engine.model.named_parameters() if p.grad is not None}


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """To 1e-5 of the longest gradient."""
    assert set(ours) == set(theirs)
    longest = max(float(gradient.abs().max()) for gradient in theirs.values())
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-5 * longest, rtol=0, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_row_075_eight_at_once_are_two_four_times(family: str) -> None:
    whole = row(0, lengths=(16, 12, 9, 16, 7, 16, 11, 14))
    parts, begin = [], 0
    for first in range(0, 8, 2):
        lengths = whole.lengths[first : first + 2]
        end = begin + sum(lengths)
        here = (whole.targets >= begin) & (whole.targets < end)
        parts.append(
            Batch(
                tokens=whole.tokens[begin:end],
                positions=whole.positions[begin:end],
                lengths=lengths,
                targets=whole.targets[here] - begin,
                labels=whole.labels[here],
            )
        )
        begin = end
    run = run_of(family)
    assert_close(gradients(run, parts), gradients(run, [whole]))


def phase_of(**fields: Any) -> Phase:
    return parse(Phase, {"name": "a", **fields})


def test_row_076_the_batch_grows_with_the_epochs() -> None:
    """Lightning's accumulate_grad_batches {0: 1, 1: 2, 3: 4} of a batch of 8."""
    schedule = [{"epoch": 1, "globalBatchSize": 16}, {"epoch": 3, "globalBatchSize": 32}]
    phase = phase_of(epochs=4, globalBatchSize=8, batchSchedule=schedule)
    order = Order(7, 0, Epochs((100,)), batches_of(phase, Epochs((100,))))
    steps = steps_of(phase, Epochs((100,)))
    drawn = [order.at(step) for step in range(steps)]
    begins = np.cumsum([0, *(len(numbers) for numbers, _ in drawn)])
    for begin, (numbers, _) in zip(begins, drawn, strict=False):
        assert len(numbers) == (8 if begin < 100 else 16 if begin < 300 else 32)
    assert begins[-2] < 400 <= begins[-1]
    every = np.concatenate([numbers for numbers, _ in drawn])
    for epoch in range(4):
        assert sorted(every[100 * epoch : 100 * (epoch + 1)]) == list(range(100))
    assert [order.epoch(step) for step in (0, 12, 13, 24)] == [0, 0, 1, 2]


def test_row_076_a_larger_batch_is_accumulated_in_equal_parts() -> None:
    phase = phase_of(steps=5, globalBatchSize=64, microBatchSize=8)
    assert batch_shape(phase, 2).accumulation == 4
    assert batch_shape(phase, 2, 128).accumulation == 8
    uneven = dataclasses.replace(
        phase,
        batch_schedule=phase_of(
            steps=1, batchSchedule=[{"epoch": 1, "globalBatchSize": 65}]
        ).batch_schedule,
    )
    (mistake,) = batch_mistakes(uneven, 2)
    assert mistake.field == "batchSchedule[0].globalBatchSize"


def test_row_076_changes_stand_in_order() -> None:
    change = {"epoch": 2, "globalBatchSize": 8}
    with pytest.raises(ValueError, match=r"batchSchedule\[1\]\.epoch.*in order"):
        phase_of(steps=1, batchSchedule=[change, change])


def kept_for_backward(run: RunConfig, batch: Batch) -> tuple[int, list[torch.Tensor]]:
    """Bytes that forward keeps for backward beside the weights, and the gradients."""
    model = model_of(run).train()
    spare(model, run)
    torch.manual_seed(3)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = Objective(model, chunks=run.loss_chunks)(to_device(batch, ALONE.device)).total
    loss.backward()
    return sum(kept.values()), [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("family", FAMILIES)
def test_row_083_gradient_checkpointing_keeps_less_and_changes_nothing(family: str) -> None:
    """With dropout: it must be drawn alike both times."""
    sizes = {"layers": 4, "dropout": 0.1, "attentionDropout": 0.1}
    whole, plain = kept_for_backward(run_of(family, sizes), row(0))
    less, spared = kept_for_backward(run_of(family, sizes, gradientCheckpointing=True), row(0))
    assert less < 0.4 * whole
    for ours, theirs in zip(spared, plain, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("family", FAMILIES)
def test_row_091_scores_in_two_parts_give_the_loss_of_one(family: str) -> None:
    found = []
    for chunks in (1, 2, 5):
        run = run_of(family, lossChunks=chunks)
        model = model_of(run)
        loss = Objective(model, chunks=chunks)(to_device(row(0), ALONE.device)).total
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
        found.append((float(loss.detach()), float(norm.norm())))
    for loss, norm in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-6)
        assert norm == pytest.approx(found[0][1], rel=1e-5)


class Widest(TorchDispatchMode):
    """Remembers the most rows of a tensor that is as wide as the vocabulary."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.rows = width, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dim() == 2 and out.shape[1] == self.width:
            self.rows = max(self.rows, len(out))
        return out


@pytest.mark.parametrize("family", FAMILIES)
def test_row_091_scores_in_parts_are_never_all_in_memory(family: str) -> None:
    batch = row(0, lengths=(32,) * 8, every=1)
    found = []
    for chunks in (1, 4):
        model = model_of(run_of(family, lossChunks=chunks))
        with Widest(model.config.vocab_size) as widest:
            Objective(model, chunks=chunks)(to_device(batch, ALONE.device)).total.backward()
        found.append(widest.rows)
    assert found == [len(batch.targets), -(-len(batch.targets) // 4)]


def test_row_094_steps_are_steps_however_many_a_device_did_at_once() -> None:
    """`device_iterations` of the IPU kit is the number of micro batches that the device computes
    before it returns to the host: accumulation by another name. It never was one of steps, so here
    the micro batch says it, and the number of steps is that of the phase."""
    for micro in ("auto", 2, 8):
        phase = phase_of(epochs=2, globalBatchSize=8, microBatchSize=micro)
        assert steps_of(phase, Epochs((100,))) == 25
        assert batch_shape(phase, 1).accumulation == (4 if micro == 2 else 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_row_095_every_family_has_parts_to_compile(family: str) -> None:
    run = run_of(family)
    assert compile_parts(model_of(run)) >= 2, "one of each layer at least"


def test_row_095_what_is_rehearsed_is_the_model_of_the_run(tmp_path: Path) -> None:
    phases = [
        {"name": "pairs", "steps": 9, "sequenceLength": 16},
        {"name": "words", "steps": 9, "sequenceLength": 32, "objective": "mlm"},
    ]
    fields = {"tokenizer": {"from": "unused"}, "objective": "mlm+nsp", "phases": phases}
    fresh = run_of(**fields)
    assert compile_ahead(fresh) == 4
    build.for_run(fresh, VOCABULARY, None).save_pretrained(tmp_path)
    saved = run_of(model={"type": "bert", "from": str(tmp_path)}, **fields)
    assert compile_ahead(saved) == 4


@pytest.mark.slow
def test_row_095_kernels_are_compiled_ahead_and_no_step_is_made(tmp_path: Path) -> None:
    config = {
        "data": {"train": ["unused.txt"]},
        "tokenizer": {"train": {"vocabSize": 300}},
        "model": {"type": "gpt2", "config": SIZES},
        "phases": [{"name": "main", "steps": 9, "sequenceLength": 16}],
        "output": {"to": str(tmp_path / "out")},
    }
    file, cache = tmp_path / "config.json", tmp_path / "cache"
    file.write_text(json.dumps(config))
    command = [sys.executable, "-m", "lmtrainer", "compile", str(file), "--cache", str(cache)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr[-3000:]
    assert "2 passes compiled, no update made" in found.stdout
    assert list(cache.rglob("*.so")), "kernels of the CPU are shared objects"
    assert not (tmp_path / "out").exists(), "nothing was trained"
