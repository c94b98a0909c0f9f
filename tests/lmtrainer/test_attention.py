"""A packed row gives every sequence what it would get alone, in every kernel."""

import pytest
import torch

from lmtrainer.models import attention

LENGTHS = (3, 7, 1, 5)


def qkv(total, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 2, total, 8, generator=generator, requires_grad=True) for _ in range(3)]


def alone(inputs, lengths, causal):
    parts = zip(*(x.split(list(lengths), 2) for x in inputs), strict=True)
    outs = []
    for q, k, v in parts:
        scores = q @ k.transpose(2, 3) / 8**0.5
        if causal:
            keep = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
            scores = scores.masked_fill(~keep, float("-inf"))
        outs.append(scores.softmax(-1) @ v)
    return torch.cat(outs, 2).transpose(1, 2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("kernel", "lengths"),
    [
        (attention._one_by_one, LENGTHS),
        (attention._padded, LENGTHS),
        (lambda q, k, v, n, o: attention._equal(q, k, v, len(n), o), (4, 4, 4)),
    ],
    ids=["one-by-one", "padded", "equal"],
)
def test_every_kernel_attends_within_each_sequence_only(kernel, lengths, causal):
    inputs = qkv(sum(lengths))
    options = {"dropout_p": 0.0, "is_causal": causal, "scale": None}
    out = kernel(*inputs, lengths, options)
    expected = alone(inputs, lengths, causal)
    torch.testing.assert_close(out, expected)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(
        torch.autograd.grad((out * weights).sum(), inputs, retain_graph=True),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_the_kernel_follows_the_lengths():
    module = torch.nn.Identity()
    mixed, _ = attention.packed_attention(module, *qkv(16), None, lengths=LENGTHS)
    torch.testing.assert_close(mixed, alone(qkv(16), LENGTHS, causal=False))
    even, _ = attention.packed_attention(module, *qkv(16), None, lengths=(8, 8))
    torch.testing.assert_close(even, alone(qkv(16), (8, 8), causal=False))
