"""The loss on a packed row: the body runs on every token, the vocabulary projection only on the
positions to predict (all but the last of each sequence for clm, the masked ones for mlm), and the
head for pairs of sentences, where the row has such, on the first token of each sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmtrainer.dataset.batches import Batch
from lmtrainer.models.cross_entropy import linear_cross_entropy


class DeviceBatch(NamedTuple):
    """A packed row on the device. T tokens in S sequences, M of them to predict."""

    tokens: Tensor
    """int64 [1, T]"""
    positions: Tensor
    """int64 [1, T], from 0 in each sequence"""
    lengths: tuple[int, ...]
    targets: Tensor
    """int64 [M], places in the row"""
    labels: Tensor
    """int64 [M], the right token at each target"""
    segments: Tensor | None = None
    """int64 [1, T], of pairs: 0 in the first part of each sequence, 1 in the second"""
    starts: Tensor | None = None
    """int64 [S], of pairs: where sequences begin in the row"""
    pair_labels: Tensor | None = None
    """int64 [S], of pairs: 1 where the second part is a random one"""


def to_device(batch: Batch, device: torch.device) -> DeviceBatch:
    """Copy a row of the loader to the device."""

    def move(array: Any) -> Tensor:
        return torch.from_numpy(array).to(device, non_blocking=True)

    row = DeviceBatch(
        move(batch.tokens)[None],
        move(batch.positions)[None],
        batch.lengths,
        move(batch.targets),
        move(batch.labels),
    )
    if batch.segments is not None:
        row = row._replace(segments=move(batch.segments)[None])
    if batch.pair_labels is None:
        return row
    lengths = torch.tensor(batch.lengths)
    return row._replace(
        starts=(lengths.cumsum(0) - lengths).to(device, non_blocking=True),
        pair_labels=move(batch.pair_labels),
    )


def _bert_hidden(model: Any, batch: DeviceBatch) -> Tensor:
    found = model.base_model(
        input_ids=batch.tokens,
        position_ids=batch.positions,
        token_type_ids=batch.segments,
        lengths=batch.lengths,
    )
    return found.last_hidden_state[0]  # type: ignore[no-any-return]


def _roberta_hidden(model: Any, batch: DeviceBatch) -> Tensor:
    # The family's positions begin behind the id of the padding, which has a place of its own.
    first = model.config.pad_token_id + 1
    found = model.roberta(
        input_ids=batch.tokens, position_ids=batch.positions + first, lengths=batch.lengths
    )
    return found.last_hidden_state[0]  # type: ignore[no-any-return]


def _gpt2_hidden(model: Any, batch: DeviceBatch) -> Tensor:
    found = model.transformer(
        input_ids=batch.tokens,
        position_ids=batch.positions,
        lengths=batch.lengths,
        use_cache=False,
    )
    return found.last_hidden_state[0]  # type: ignore[no-any-return]


_HIDDEN: Mapping[str, Callable[[Any, DeviceBatch], Tensor]] = {
    "bert": _bert_hidden,
    "roberta": _roberta_hidden,
    "groupbert": _bert_hidden,
    "gpt2": _gpt2_hidden,
}


def target_hidden(model: Any, batch: DeviceBatch) -> tuple[Tensor, Tensor | None]:
    """What the body makes of the positions to predict [M, hidden size] and, of rows of pairs, of
    the first token of each sequence [S, hidden size]."""
    hidden = _HIDDEN[model.config.model_type](model, batch)
    first = None if batch.starts is None else hidden.index_select(0, batch.starts)
    return hidden.index_select(0, batch.targets), first


def word_scores(model: Any, targets: Tensor) -> Tensor:
    """Scores of every token of the vocabulary: [M, vocabulary]."""
    decoder, features = _decoder(model, targets)
    return decoder(features)  # type: ignore[no-any-return]


def _decoder(model: Any, targets: Tensor) -> tuple[Any, Tensor]:
    """The linear layer that scores every token, and what it is given."""
    if hasattr(model, "cls"):
        return model.cls.predictions.decoder, model.cls.predictions.transform(targets)
    if hasattr(model, "roberta"):
        head = model.lm_head
        return head.decoder, head.layer_norm(F.gelu(head.dense(targets)))
    return model.lm_head, targets


def pair_scores(model: Any, first: Tensor | None) -> Tensor | None:
    """Scores of both labels of each pair [S, 2], out of the first token of each sequence."""
    if first is None:
        return None
    return model.cls.seq_relationship(model.base_model.pooler(first[:, None]))  # type: ignore[no-any-return]


def target_logits(model: Any, batch: DeviceBatch) -> Tensor:
    """Scores of every token at the positions to predict: [M, vocabulary]."""
    return word_scores(model, target_hidden(model, batch)[0])


def pair_parameters(model: Any) -> Iterator[nn.Parameter]:
    """What only pairs of sentences train: the pooler and the head on it. Empty without them."""
    if hasattr(model, "cls") and hasattr(model.cls, "seq_relationship"):
        yield from model.base_model.pooler.parameters()
        yield from model.cls.seq_relationship.parameters()


class Losses(NamedTuple):
    """Scalars in float32. Sums and not means: means of unequal parts cannot be put together."""

    total: Tensor
    """What is differentiated: `words` + the weight of a pair x `pairs`."""
    words: Tensor
    """Summed cross-entropy over the positions to predict."""
    pairs: Tensor
    """Summed cross-entropy over the pairs; 0 without them."""
    right: Tensor
    """Pairs whose label the model finds likelier; 0 without them."""


class Objective(nn.Module):
    """Model and loss as one module, so that data parallelism sees one forward call."""

    def __init__(self, model: nn.Module, *, chunks: int = 1) -> None:
        """`chunks`: least number of parts in which the scores are computed."""
        super().__init__()
        self.model = model
        self._chunks = chunks

    def forward(self, batch: DeviceBatch, pair_weight: float = 1.0) -> Losses:
        """The losses of a row. `pair_weight`: targets over pairs of the whole global batch, so that
        the sum, divided by the targets, is the mean over targets + the mean over pairs."""
        targets, first = target_hidden(self.model, batch)
        words = self._words(targets, batch.labels)
        logits = pair_scores(self.model, first)
        if logits is None or batch.pair_labels is None:
            none = words.new_zeros(())
            return Losses(words, words.detach(), none, none)
        logits = logits.float()
        pairs = F.cross_entropy(logits, batch.pair_labels, reduction="sum")
        right = (logits.detach().argmax(-1) == batch.pair_labels).sum().float()
        return Losses(words + pair_weight * pairs, words.detach(), pairs.detach(), right)

    def _words(self, targets: Tensor, labels: Tensor) -> Tensor:
        decoder, features = _decoder(self.model, targets)
        return linear_cross_entropy(
            features, decoder.weight, decoder.bias, labels, parts=self._chunks
        )
