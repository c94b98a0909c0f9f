"""Attention over a packed row: many sequences end to end, none sees another, nothing is padded.

Registered with transformers as `PACKED`, so that its own unmodified models run without padding:
queries, keys and values are [1, heads, T, head_size], and the lengths of the sequences in the row
come as the keyword `lengths` of the model's forward call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

PACKED = "lmtrainer_packed"


def packed_attention(  # noqa: PLR0913 - the signature is transformers'
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    lengths: Sequence[int],
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each sequence of the row. Returns [1, T, heads, head_size] and no weights."""
    assert attention_mask is None, "a packed row has no padding to mask"
    causal = bool(getattr(module, "is_causal", False))
    options = {"dropout_p": dropout, "is_causal": causal, "scale": scaling}
    if len(set(lengths)) == 1:
        out = _equal(query, key, value, len(lengths), options)
    elif query.device.type == "cpu":
        out = _one_by_one(query, key, value, lengths, options)
    else:
        out = _padded(query, key, value, lengths, options)
    return out, None


def register() -> None:
    """Make `PACKED` known to transformers; again and again does no harm."""
    AttentionInterface.register(PACKED, packed_attention)
    AttentionMaskInterface.register(PACKED, _no_mask)


def _no_mask(*_: Any, **__: Any) -> None:
    return None


def _equal(query: Tensor, key: Tensor, value: Tensor, rows: int, options: dict[str, Any]) -> Tensor:
    """Sequences of one length are a batch: one call, no mask, no copy of the inputs."""

    def batch(x: Tensor) -> Tensor:
        heads, size = x.shape[1], x.shape[3]
        return x.view(heads, rows, -1, size).transpose(0, 1)

    out = F.scaled_dot_product_attention(batch(query), batch(key), batch(value), **options)
    return out.transpose(1, 2).flatten(0, 1).unsqueeze(0)


def _one_by_one(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], options: dict[str, Any]
) -> Tensor:
    """A call per sequence. `split` and `cat` cost one copy in backward, slices one each."""
    sizes = list(lengths)
    parts = zip(*(torch.split(x, sizes, dim=2) for x in (query, key, value)), strict=True)
    outs = [F.scaled_dot_product_attention(q, k, v, **options) for q, k, v in parts]
    return torch.cat(outs, dim=2).transpose(1, 2)


def _padded(
    query: Tensor, key: Tensor, value: Tensor, lengths: Sequence[int], options: dict[str, Any]
) -> Tensor:
    """One call for all, padded inside attention only: few launches on accelerators."""
    sizes = torch.tensor(lengths, device=query.device)
    real = torch.arange(max(lengths), device=query.device) < sizes[:, None]
    mask = real[:, None, None, :]
    if options["is_causal"]:
        square = torch.ones(max(lengths), max(lengths), dtype=torch.bool, device=query.device)
        mask = mask & square.tril()

    def pad(x: Tensor) -> Tensor:
        rows = x.new_zeros(*real.shape, x.shape[1], x.shape[3])
        rows[real] = x[0].transpose(0, 1)
        return rows.transpose(1, 2)

    options = {**options, "is_causal": False}
    out = F.scaled_dot_product_attention(
        pad(query), pad(key), pad(value), attn_mask=mask, **options
    )
    return out.transpose(1, 2)[real].unsqueeze(0)
