"""The optimizer: who is decayed, how gradients are scaled and clipped; its state returns."""

import pytest
import torch
from torch import nn

from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.optim.build import build
from lmtrainer.optim.moments import restore, state_tensors
from lmtrainer.optim.update import update

KINDS = ({"type": "adamw"}, {"type": "adam"}, {"type": "lamb"}, {"bias_correction": False})


def config(**fields):
    """As the plan resolves it."""
    decay = 0.0 if fields.get("type") == "adam" else 0.01
    return OptimizerConfig(**{"weight_decay": decay, **fields})


def small_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))


def give_gradients(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_matrices_are_decayed_biases_and_norms_are_not():
    model = small_model()
    decayed, plain = build(model, config(weight_decay=0.5)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.5, 0.0)
    assert {id(p) for p in decayed["params"]} == {id(model[0].weight), id(model[1].weight)}
    assert {id(p) for p in plain["params"]} == {
        id(model[1].bias),
        id(model[2].weight),
        id(model[2].bias),
    }


def test_one_update_is_the_textbook_one():
    model = small_model()
    optimizer = build(model, config(weight_decay=0.1))
    give_gradients(model, 1)
    before = model[1].weight.detach().clone()
    gradient = model[1].weight.grad.clone() * 0.5
    update(optimizer, list(model.parameters()), learning_rate=0.01, scale=0.5, clip_norm=0)
    # First update: both moments are corrected to the gradient itself.
    expected = before * (1 - 0.01 * 0.1) - 0.01 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(model[1].weight.detach(), expected)


@pytest.mark.parametrize(("clip", "clipped"), [(1.0, True), (1e9, False), (0, False)])
def test_the_norm_is_that_of_the_scaled_gradients_and_is_clipped(clip, clipped):
    model = small_model()
    optimizer = build(model, config())
    give_gradients(model, 2)
    total = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    seen = []
    original = optimizer.step
    optimizer.step = lambda: (
        seen.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()),
        original(),
    )
    norm = update(
        optimizer, list(model.parameters()), learning_rate=0.01, scale=3.0, clip_norm=clip
    )
    assert norm == pytest.approx(3 * total, rel=1e-5)
    assert seen[0] == pytest.approx(1.0 if clipped else 3 * total, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_restored_optimizer_goes_on_bit_for_bit(kind):
    straight, stopped = small_model(), small_model()
    one = build(straight, config(**kind))
    two = build(stopped, config(**kind))
    for number in range(6):
        if number == 3:
            saved = {k: v.clone() for k, v in state_tensors(two, stopped).items()}
            two = build(stopped, config(**kind))
            restore(two, stopped, saved, steps=3)
        for model, optimizer in ((straight, one), (stopped, two)):
            give_gradients(model, number)
            update(optimizer, list(model.parameters()), learning_rate=0.01, scale=1, clip_norm=1)
    for mine, theirs in zip(straight.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def no_moments(model):
    return {
        f"{name}.{moment}": torch.zeros_like(parameter)
        for name, parameter in model.named_parameters()
        for moment in ("exp_avg", "exp_avg_sq")
    }


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("kind", KINDS[2:], ids=str)
def test_an_update_never_waits_for_its_device(kind, restored):
    """A device that holds no numbers can be asked for none."""
    model = small_model().to("meta")
    optimizer = build(model, config(**kind))
    if restored:
        restore(optimizer, model, no_moments(model), steps=3)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert {float(state["step"]) for state in optimizer.state.values()} == {
        4.0 if restored else 1.0
    }


def test_the_count_of_updates_is_where_the_kernels_of_torch_read_it():
    model = small_model().to("meta")
    optimizer = build(model, config())
    restore(optimizer, model, no_moments(model), steps=3)
    assert {state["step"].device.type for state in optimizer.state.values()} == {"meta"}


def test_a_missing_tensor_is_named():
    model = small_model()
    with pytest.raises(KeyError, match="exp_avg"):
        restore(build(model, config()), model, {}, steps=1)
