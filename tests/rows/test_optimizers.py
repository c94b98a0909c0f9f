"""Rows 64 to 77: optimizers, their groups, and the learning rate."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.config.phase import Phase, warmup_steps
from lmtrainer.optim.build import build
from lmtrainer.optim.lamb import MAX_WEIGHT_NORM, Lamb
from lmtrainer.optim.schedules import learning_rate
from lmtrainer.optim.update import update

RATE = 0.01


def config(**fields: Any) -> OptimizerConfig:
    return OptimizerConfig(
        **{"weight_decay": 0.0 if fields.get("type") == "adam" else 0.1, **fields}
    )


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    for parameter in layers.parameters():
        nn.init.normal_(parameter)
    return layers


def stepped(model: nn.Module, settings: OptimizerConfig, steps: int = 3) -> None:
    """Some updates with random gradients, the same for every optimizer."""
    optimizer, generator = build(model, settings), torch.Generator().manual_seed(1)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        update(optimizer, model.parameters(), learning_rate=RATE, scale=1.0, clip_norm=0.0)


def reference(
    weights: Tensor, *, decay: float, trust: bool, corrected: bool, gradients: list[Tensor]
) -> Tensor:
    """LAMB by the formula, in float64, one tensor at a time."""
    p, (b1, b2), eps = weights.double(), (0.9, 0.999), 1e-8
    m, v = torch.zeros_like(p), torch.zeros_like(p)
    for t, gradient in enumerate((g.double() for g in gradients), 1):
        m = b1 * m + (1 - b1) * gradient
        v = b2 * v + (1 - b2) * gradient**2
        c1, c2 = (1 - b1**t, 1 - b2**t) if corrected else (1.0, 1.0)
        u = (m / c1) / ((v / c2).sqrt() + eps) + decay * p
        length, step = p.norm(), u.norm()
        ratio = min(length, MAX_WEIGHT_NORM) / step if trust and length and step else 1.0
        p = p - RATE * ratio * u
    return p


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("trust", [True, False])
def test_row_065_lamb_is_the_formula(trust: bool, corrected: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    weights = nn.Parameter(torch.randn(5, 3, generator=generator))
    gradients = [torch.randn(5, 3, generator=generator) for _ in range(4)]
    before = weights.detach().clone()
    group = {"params": [weights], "weight_decay": 0.1, "trust": trust}
    optimizer = Lamb([group], lr=RATE, bias_correction=corrected)
    for gradient in gradients:
        weights.grad = gradient.clone()
        optimizer.step()
    wanted = reference(before, decay=0.1, trust=trust, corrected=corrected, gradients=gradients)
    torch.testing.assert_close(weights.detach().double(), wanted, atol=1e-6, rtol=1e-6)


def test_row_065_a_step_is_no_longer_than_that_of_the_longest_weights() -> None:
    weights = nn.Parameter(torch.tensor([3e6, 4e6], dtype=torch.float32))
    before = weights.detach().clone()
    weights.grad = torch.tensor([1.0, -1.0])
    Lamb([{"params": [weights]}], lr=RATE).step()
    moved = torch.linalg.vector_norm((weights.detach() - before).double())
    assert float(moved) == pytest.approx(RATE * MAX_WEIGHT_NORM, rel=0.01)


def test_row_065_weights_and_updates_of_length_0_are_not_scaled() -> None:
    weights = nn.Parameter(torch.zeros(3))
    weights.grad = torch.ones(3)
    Lamb([{"params": [weights]}], lr=RATE).step()
    torch.testing.assert_close(weights.detach(), torch.full((3,), -RATE))


def test_row_066_without_bias_correction_the_first_step_differs_by_a_known_factor() -> None:
    moved = []
    for corrected in (True, False):
        model = network()
        before = model[1].bias.detach().clone()  # type: ignore[index]
        stepped(model, config(type="lamb", bias_correction=corrected), steps=1)
        moved.append(before - model[1].bias.detach())  # type: ignore[index]
    # Moments of 0.1 and 0.001 of what they are when corrected.
    torch.testing.assert_close(moved[1], moved[0] * 0.1 / math.sqrt(0.001), atol=1e-5, rtol=1e-4)


def test_row_067_lamb_moves_biases_as_adam_and_decays_no_norm() -> None:
    lamb, adam = network(), network()
    stepped(lamb, config(type="lamb"))
    stepped(adam, config(type="adam"))
    torch.testing.assert_close(lamb[1].bias, adam[1].bias)  # type: ignore[index]
    torch.testing.assert_close(lamb[2].bias, adam[2].bias)  # type: ignore[index]
    groups = build(lamb, config(type="lamb")).param_groups
    told = [(len(g["params"]), g["weight_decay"], g["trust"]) for g in groups]
    assert told == [(2, 0.1, True), (2, 0.0, False), (1, 0.0, True)]


def test_row_068_adamw_decays_neither_norms_nor_biases() -> None:
    matrices, vectors = build(network(), config()).param_groups
    assert matrices["weight_decay"] == 0.1
    assert vectors["weight_decay"] == 0.0
    assert [p.ndim for p in vectors["params"]] == [1, 1, 1]


def test_row_069_plain_adam_decays_nothing() -> None:
    optimizer = build(network(), config(type="adam"))
    assert type(optimizer) is torch.optim.Adam
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}
    assert list(OptimizerConfig(type="adam", weight_decay=0.1).mistakes())


@pytest.mark.parametrize("kind", ["adamw", "adam", "lamb"])
def test_row_070_beta2_and_epsilon_reach_the_parameter_groups(kind: str) -> None:
    optimizer = build(network(), config(type=kind, beta1=0.8, beta2=0.98, epsilon=1e-6))
    for group in optimizer.param_groups:
        assert tuple(group["betas"]) == (0.8, 0.98)
        assert group["eps"] == 1e-6


def rates(phase: Phase) -> list[float]:
    assert phase.steps is not None
    return [learning_rate(phase, step, phase.steps) for step in range(phase.steps)]


def test_row_071_linear_warm_up_and_decay() -> None:
    found = rates(Phase(name="a", steps=100, warmup_steps=20, learning_rate=0.5))
    assert found[0] == 0
    assert found[20] == max(found) == 0.5
    assert found[60] == pytest.approx(0.25)
    assert found[99] == pytest.approx(0.5 / 80)


def test_row_072_a_share_of_the_steps_warms_up() -> None:
    assert warmup_steps(Phase(name="a", steps=10500, warmup_share=0.28), 10500) in (2940, 2941)
    assert warmup_steps(Phase(name="a", steps=10, warmup_share=0.0), 10) == 0


def test_row_073_constant_after_the_warm_up() -> None:
    found = rates(Phase(name="a", steps=50, warmup_steps=5, learning_rate=0.5, schedule="constant"))
    assert set(found[5:]) == {0.5}


def test_row_074_the_schedule_of_groupbert() -> None:
    phase = Phase(
        name="a",
        steps=10500,
        warmup_share=0.14,
        warmup_shape="sqrt",
        learning_rate=0.012,
        final_learning_rate=1e-7,
    )
    found = rates(phase)
    assert found[0] == 0
    for step in (1, 100, 735):
        assert found[step] == pytest.approx(0.012 * math.sqrt(step / 1471), abs=1e-9)
    left = 1 - (5000 - 1471) / (10500 - 1471)
    assert found[5000] == pytest.approx((0.012 - 1e-7) * left + 1e-7, abs=1e-9)
    assert [round(found[step], 5) for step in (100, 735, 5000)] == [0.00313, 0.00848, 0.00731]


def test_row_077_the_norm_of_the_gradients_is_clipped() -> None:
    model = network()
    optimizer = build(model, config())
    seen: list[float] = []
    take = optimizer.step

    def noted() -> None:
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        seen.append(float(torch.cat(gradients).norm()))
        take()

    optimizer.step = noted  # type: ignore[method-assign, assignment]
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 10.0)
    told = update(optimizer, model.parameters(), learning_rate=RATE, scale=1.0, clip_norm=1.0)
    assert told > 1
    assert seen == [pytest.approx(1.0, rel=1e-5)]
