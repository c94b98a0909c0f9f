"""Rows 78 to 82: number formats, and the scale of the loss."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.config.precision import LossScaleType
from lmtrainer.models import build
from lmtrainer.models.precision import shorten
from lmtrainer.optim.build import build as build_optimizer
from lmtrainer.optim.scaling import GROWTH_STEPS, LARGEST, UPPER_BIN, LossScale, upper_share
from lmtrainer.optim.short import write_back
from lmtrainer.train.engine import Engine, StepResult
from tests.rows.engines import BATCH, VOCABULARY, engine_of, row, run_of


def trained(steps: int = 12, **fields: Any) -> tuple[Engine, list[StepResult]]:
    engine = engine_of(run_of(**fields))
    found = []
    for step in range(steps):
        rows = [row(seed) for seed in range(BATCH // 4)]
        found.append(engine.step(rows, step=step, learning_rate=5e-3, stop=False))
    return engine, found


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_row_078_mixed_precision_loses_little(precision: str) -> None:
    long = trained()[1]
    engine, short = trained(precision=precision)
    assert {p.dtype for p in engine.model.parameters()} == {torch.float32}
    assert short != long, "it does compute otherwise"
    for ours, theirs in zip(short, long, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=0.01)


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_row_079_weights_in_half_a_format_learn(kind: str, optimizer: str) -> None:
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}[kind]
    engine, found = trained(30, precision=f"{kind}-true", optimizer={"type": optimizer})
    assert {p.dtype for p in engine.model.parameters()} == {half}
    assert {p.grad.dtype for p in engine.model.parameters() if p.grad is not None} == {half}
    for state in engine.optimizer.state.values():
        assert state["exp_avg_sq"].dtype == torch.float32
        # float16 ends at 6e-8: unscaled gradients are smaller.
        assert state["exp_avg"].dtype == (torch.float32 if kind == "fp16" else half)
    losses = [result.loss for result in found if not result.skipped]
    assert losses[-1] < losses[0] - 0.5


def test_row_079_rounding_is_right_on_average_and_a_function_of_its_seed() -> None:
    exact = torch.full((20_000,), 1.25 + 2.0**-10)
    weights = torch.zeros(20_000, dtype=torch.bfloat16)
    write_back([weights], [exact], [(1, 2)])
    assert set(weights.tolist()) == {1.25, 1.25 + 2.0**-7}
    assert float(weights.double().mean()) == pytest.approx(1.25 + 2.0**-10, abs=2e-4)
    again = torch.zeros_like(weights)
    write_back([again], [exact], [(1, 2)])
    assert torch.equal(weights, again)
    write_back([again], [exact], [(1, 3)])
    assert not torch.equal(weights, again)


def test_row_080_a_static_scale_changes_no_gradient() -> None:
    """Powers of two round nothing: the weights are equal to the last bit."""
    models = []
    for scale in (1, 16384):
        engine, found = trained(4, lossScale={"type": "static", "initial": scale})
        assert {result.loss_scale for result in found} == {scale}
        models.append(engine.model)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_row_081_the_histogram_halves_and_doubles_every_step() -> None:
    small, large = torch.full((1000,), 8000.0), torch.tensor([8200.0])
    assert pytest.approx(8188) == UPPER_BIN
    assert upper_share([small]) == 0
    assert upper_share([small, large]) == 1 / 1001
    scale = LossScale("histogram", 1024.0)
    for gradients, wanted in (([small], 2048), ([small, large], 1024), ([-large], 512)):
        scale = scale.after(finite=True, upper_share=upper_share(gradients))
        assert scale.value == wanted
    rare = torch.zeros(20_000_000)
    rare[0] = 9000.0
    assert scale.after(finite=True, upper_share=upper_share([rare])).value == 1024


@pytest.mark.parametrize("kind", ["histogram", "dynamic"])
def test_row_081_and_row_082_no_scale_grows_without_end(kind: LossScaleType) -> None:
    scale = LossScale(kind, LARGEST, good_steps=GROWTH_STEPS - 1)
    assert scale.after(finite=True).value == LARGEST
    assert scale.after(finite=False).value == LARGEST / 2


def test_row_081_the_histogram_of_a_training_step_is_that_of_its_scaled_gradients() -> None:
    _, found = trained(12, lossScale={"type": "histogram", "initial": 2**20})
    scales = [result.loss_scale for result in found]
    assert scales[0] == 2**20
    steps = [b / a for a, b in itertools.pairwise(scales)]
    assert set(steps) == {0.5, 2.0}, "it settles where the upper bin begins to fill"
    assert not any(result.skipped for result in found)


def reference(overflows: list[bool]) -> list[float]:
    """Scales by torch's own GradScaler."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=2000)
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    found = []
    for overflow in overflows:
        weight.grad = torch.tensor([float("inf") if overflow else 1.0])
        scaler.scale(torch.ones(()))
        scaler.step(optimizer)
        scaler.update()
        found.append(scaler.get_scale())
    return found


def test_row_082_dynamic_scaling_is_the_rule_of_torch() -> None:
    overflows = [True, True, *[False] * 2000, True, *[False] * 1999, True, *[False] * 4001]
    scale, found = LossScale("dynamic", 2.0**16), []
    for overflow in overflows:
        scale = scale.after(finite=not overflow)
        found.append(scale.value)
    assert found == reference(overflows)


def test_row_082_a_step_with_infinite_gradients_is_skipped_and_the_scale_halved() -> None:
    engine = engine_of(run_of(lossScale={"type": "dynamic", "initial": 2.0**32}, precision="fp16"))
    before = [p.detach().clone() for p in engine.model.parameters()]
    result = engine.step([row(0)], step=0, learning_rate=0.1, stop=False)
    assert result.skipped
    for ours, theirs in zip(before, engine.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert engine.state.loss_scale == 2.0**31
    assert engine.state.updates == 0
    while result.skipped:
        result = engine.step([row(0)], step=1, learning_rate=0.1, stop=False)
    assert engine.state.updates == 1


def test_row_082_gradients_that_no_scale_makes_finite_end_the_step() -> None:
    with pytest.raises(FloatingPointError, match="any scale"):
        LossScale("dynamic", 2.0**-14).after(finite=False)
    with pytest.raises(FloatingPointError, match="not finite"):
        LossScale("none").after(finite=False)


def test_row_082_what_was_skipped_and_scaled_survives_a_checkpoint() -> None:
    engine, _ = trained(3, precision="fp16", lossScale={"initial": 2.0**32})
    assert engine.state.updates < 3
    other = engine_of(run_of(precision="fp16"))
    other.put_back(engine.state)
    assert other.state == engine.state


def test_fp16_scales_dynamically_unless_told_otherwise() -> None:
    assert run_of(precision="fp16").loss_scale.type == "dynamic"
    assert run_of(precision="fp16-true").loss_scale.type == "dynamic"
    assert run_of(precision="bf16").loss_scale.type == "none"
    assert run_of(precision="fp16", lossScale={"type": "none"}).loss_scale.type == "none"


def test_a_model_is_shortened_only_if_its_weights_are_to_be() -> None:
    for precision, wanted in (("bf16", torch.float32), ("bf16-true", torch.bfloat16)):
        run = run_of(precision=precision)
        assert run.model.type is not None
        model = build.build(run.model.type, run.model.architecture(), VOCABULARY, seed=0)
        assert next(shorten(model, run).parameters()).dtype == wanted
    assert build_optimizer(model, run.optimizer).defaults["gradient_scale"] == 1.0


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lossScale\.initial: must be > 0"):
        resolve(parse(RunConfig, {"lossScale": {"initial": 0}}), precision="fp32", threads=1)
