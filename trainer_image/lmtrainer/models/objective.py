"""The loss on a packed row: the body runs on every token, the vocabulary projection only on the
positions to predict (all but the last of each sequence for clm, the masked ones for mlm)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmtrainer.dataset.batches import Batch


class DeviceBatch(NamedTuple):
    """A packed row on the device. T tokens, M of them to predict."""

    tokens: Tensor
    """int64 [1, T]"""
    positions: Tensor
    """int64 [1, T], from 0 in each sequence"""
    lengths: tuple[int, ...]
    targets: Tensor
    """int64 [M], places in the row"""
    labels: Tensor
    """int64 [M], the right token at each target"""


def to_device(batch: Batch, device: torch.device) -> DeviceBatch:
    """Copy a row of the loader to the device."""

    def move(array: Any) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    return DeviceBatch(
        move(batch.tokens)[None],
        move(batch.positions)[None],
        batch.lengths,
        move(batch.targets),
        move(batch.labels),
    )


def _bert_logits(model: Any, batch: DeviceBatch) -> Tensor:
    hidden = model.base_model(
        input_ids=batch.tokens, position_ids=batch.positions, lengths=batch.lengths
    ).last_hidden_state
    return model.cls(hidden[0].index_select(0, batch.targets))  # type: ignore[no-any-return]


def _roberta_logits(model: Any, batch: DeviceBatch) -> Tensor:
    # The family's positions begin behind the id of the padding, which has a place of its own.
    first = model.config.pad_token_id + 1
    hidden = model.roberta(
        input_ids=batch.tokens, position_ids=batch.positions + first, lengths=batch.lengths
    ).last_hidden_state
    return model.lm_head(hidden[0].index_select(0, batch.targets))  # type: ignore[no-any-return]


def _gpt2_logits(model: Any, batch: DeviceBatch) -> Tensor:
    hidden = model.transformer(
        input_ids=batch.tokens,
        position_ids=batch.positions,
        lengths=batch.lengths,
        use_cache=False,
    ).last_hidden_state
    return model.lm_head(hidden[0].index_select(0, batch.targets))  # type: ignore[no-any-return]


_LOGITS: Mapping[str, Callable[[Any, DeviceBatch], Tensor]] = {
    "bert": _bert_logits,
    "roberta": _roberta_logits,
    "groupbert": _bert_logits,
    "gpt2": _gpt2_logits,
}


def target_logits(model: Any, batch: DeviceBatch) -> Tensor:
    """Scores of every token at the positions to predict: [M, vocabulary]."""
    return _LOGITS[model.config.model_type](model, batch)


class Objective(nn.Module):
    """Model and loss as one module, so that data parallelism sees one forward call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: DeviceBatch) -> Tensor:
        """Summed cross-entropy over the targets, a scalar in float32. The sum and not the mean:
        means of unequal parts cannot be put together again."""
        logits = target_logits(self.model, batch)
        return F.cross_entropy(logits.float(), batch.labels, reduction="sum")
