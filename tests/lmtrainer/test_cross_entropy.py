"""The loss over the vocabulary in parts is that of torch, gradients too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmtrainer.models.cross_entropy import linear_cross_entropy

Loss = Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]


def plain(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), labels, reduction="sum")


def in_parts(parts: int) -> Loss:
    return lambda h, w, b, y: linear_cross_entropy(h, w, b, y, parts=parts)


def loss_and_gradients(
    loss: Loss, *, bias: bool, kind: torch.dtype, autocast: bool
) -> list[Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(50, 16).to(kind).requires_grad_()
    weight = (torch.randn(300, 16) * 0.5).to(kind).requires_grad_()
    added = torch.randn(300).to(kind).requires_grad_() if bias else None
    labels = torch.randint(300, (50,))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        total = loss(hidden, weight, added, labels)
    (total * 3).backward()
    given = [hidden, weight] + ([added] if added is not None else [])
    return [total.detach(), *(tensor.grad for tensor in given if tensor.grad is not None)]


@pytest.mark.parametrize("parts", [1, 3, 50, 1000])
@pytest.mark.parametrize("bias", [True, False])
def test_loss_and_gradients_are_those_of_torch(parts: int, bias: bool) -> None:
    options = {"bias": bias, "kind": torch.float32, "autocast": False}
    ours = loss_and_gradients(in_parts(parts), **options)
    theirs = loss_and_gradients(plain, **options)
    assert len(ours) == len(theirs) == 3 + bias
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize(
    ("kind", "autocast"), [(torch.float32, True), (torch.bfloat16, False)], ids=["autocast", "pure"]
)
def test_short_formats_keep_their_digits_in_parts(
    parts: int, kind: torch.dtype, autocast: bool
) -> None:
    ours = loss_and_gradients(in_parts(parts), bias=True, kind=kind, autocast=autocast)
    exact = loss_and_gradients(plain, bias=True, kind=torch.float32, autocast=False)
    for one, other in zip(ours, exact, strict=True):
        assert float((one.float() - other).abs().max()) < 0.02 * float(other.abs().max())


def test_scores_that_are_far_apart_do_not_overflow() -> None:
    hidden, weight = torch.full((1, 1), 1e4), torch.tensor([[1.0], [-1.0]])
    wrong = linear_cross_entropy(hidden, weight, None, torch.tensor([1]))
    assert float(wrong) == pytest.approx(2e4)


def test_the_loss_of_no_targets_is_zero() -> None:
    hidden = torch.randn(0, 4, requires_grad=True)
    loss = linear_cross_entropy(hidden, torch.randn(9, 4), None, torch.empty(0, dtype=torch.int64))
    loss.backward()
    assert hidden.grad is not None and hidden.grad.shape == (0, 4)
    assert float(loss.detach()) == 0
