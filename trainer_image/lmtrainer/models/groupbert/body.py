"""The layers of GroupBERT: convolution, feed-forward, attention, feed-forward, each behind a norm
of its own with a residual around it, and one norm after the last layer.

Hidden states are [batch, tokens, H]. A batch is padded with a mask, or is one packed row whose
sequences' `lengths` are given: neither padding nor a neighbour ever reaches a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.bert.modeling_bert import (
    BertEmbeddings,
    BertLMPredictionHead,
    BertPooler,
)

from lmtrainer.models.groupbert.configuration import GroupBertConfig


class PackedRow(NamedTuple):
    """Sequences end to end, and where their tokens lie when empty places stand before, between and
    behind them, so that no convolution reaches from one to the next."""

    lengths: Sequence[int]
    places: Tensor
    """[tokens]"""
    room: int
    """Tokens and empty places."""


def packed_row(lengths: Sequence[int], reach: int, device: torch.device) -> PackedRow:
    """`reach`: how many empty places a convolution needs. Made once for all layers."""
    tokens = sum(lengths)
    gaps = torch.arange(1, len(lengths) + 1) * reach
    places = torch.arange(tokens) + torch.repeat_interleave(gaps, torch.tensor(lengths))
    return PackedRow(lengths, places.to(device), tokens + reach * (len(lengths) + 1))


class Convolution(nn.Module):
    """Mixes each token with its neighbours, in groups of channels."""

    def __init__(self, config: GroupBertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.gate = nn.Linear(width, 2 * width)
        self.conv = nn.Conv1d(
            width, width, config.conv_kernel_size, groups=width // config.conv_group_size
        )
        self.conv_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.reach = config.conv_kernel_size // 2

    def forward(self, hidden: Tensor, mask: Tensor | None, row: PackedRow | None) -> Tensor:
        gate, value = self.gate(self.norm(hidden)).chunk(2, dim=-1)
        mixed = self._convolved(torch.sigmoid(gate) * value, mask, row)
        return hidden + self.dropout(self.dense(F.silu(self.conv_norm(mixed))))  # type: ignore[no-any-return]

    def _convolved(self, values: Tensor, mask: Tensor | None, row: PackedRow | None) -> Tensor:
        if row is None:
            if mask is not None:
                values = values * mask[..., None].to(values.dtype)
            spread = F.pad(values, (0, 0, self.reach, self.reach))
            return self.conv(spread.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]
        room = values.new_zeros(1, row.room, values.shape[2]).index_copy(1, row.places, values)
        mixed = self.conv(room.transpose(1, 2)).transpose(1, 2)
        return mixed.index_select(1, row.places - self.reach)  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Up to the inner width as in BERT, back in groups, and across them."""

    def __init__(self, config: GroupBertConfig) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.up = nn.Linear(width, inner)
        self.down = nn.Conv1d(inner, width, 1, groups=config.ffn_groups)
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = F.gelu(self.up(self.norm(hidden)))
        down = self.down(inner.transpose(1, 2)).transpose(1, 2)
        return hidden + self.dropout(self.dense(down))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """BERT's self-attention, one product for queries, keys and values."""

    def __init__(self, config: GroupBertConfig) -> None:
        super().__init__()
        self.config = config
        self.is_causal = False
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.scaling = (width // self.heads) ** -0.5
        self.attention_dropout = config.attention_probs_dropout_prob
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.qkv = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Tensor, mask: Tensor | None, row: PackedRow | None) -> Tensor:
        batch, tokens, width = hidden.shape
        parts = self.qkv(self.norm(hidden)).view(batch, tokens, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        dropout = self.attention_dropout if self.training else 0.0
        if row is None:
            allowed = None if mask is None else mask[:, None, None, :].bool()
            out = F.scaled_dot_product_attention(
                query, key, value, attn_mask=allowed, dropout_p=dropout, scale=self.scaling
            ).transpose(1, 2)
        else:
            attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
            options: dict[str, Any] = {"scaling": self.scaling, "dropout": dropout}
            out, _ = attend(self, query, key, value, None, lengths=row.lengths, **options)
        return hidden + self.dropout(self.dense(out.reshape(batch, tokens, width)))  # type: ignore[no-any-return]


class Layer(GradientCheckpointingLayer):  # type: ignore[misc]
    def __init__(self, config: GroupBertConfig) -> None:
        super().__init__()
        self.convolution = Convolution(config)
        self.before = FeedForward(config)
        self.attention = Attention(config)
        self.behind = FeedForward(config)

    def forward(self, hidden: Tensor, mask: Tensor | None, row: PackedRow | None) -> Tensor:
        hidden = self.before(self.convolution(hidden, mask, row))
        return self.behind(self.attention(hidden, mask, row))  # type: ignore[no-any-return]


class GroupBertPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """What all heads share: how weights begin, and what the family can do."""

    config_class = GroupBertConfig
    base_model_prefix = "groupbert"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """A normal distribution that is cut at two standard deviations."""
        deviation = self.config.initializer_range
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Embedding):
            init.trunc_normal_(
                module.weight, mean=0.0, std=deviation, a=-2 * deviation, b=2 * deviation
            )
            if getattr(module, "bias", None) is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            init.ones_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, BertLMPredictionHead):
            init.zeros_(module.bias)
        elif isinstance(module, BertEmbeddings):
            places = torch.arange(module.position_ids.shape[-1])
            init.copy_(module.position_ids, places.expand((1, -1)))
            init.zeros_(module.token_type_ids)


class GroupBertModel(GroupBertPreTrainedModel):
    """Embeddings, layers, the last norm, and the pooler if it is asked for."""

    def __init__(self, config: GroupBertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings  # type: ignore[no-any-return]

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        lengths: Sequence[int] | None = None,
        **_: Any,
    ) -> BaseModelOutputWithPooling:
        """`attention_mask` is [batch, tokens], 1 for what is text; `lengths` is of a packed row."""
        hidden = self.embeddings(
            input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids
        )
        row = None
        if lengths is not None:
            row = packed_row(lengths, self.config.conv_kernel_size // 2, hidden.device)
        for layer in self.layers:
            hidden = layer(hidden, attention_mask, row)
        hidden = self.norm(hidden)
        pooled = self.pooler(hidden) if self.pooler is not None else None
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=pooled)
