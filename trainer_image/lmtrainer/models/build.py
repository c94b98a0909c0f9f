"""Makes a model of the configured family and sizes, or takes one from a folder. The one place that
maps our words for sizes to those of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    PretrainedConfig,
    PreTrainedModel,
)

from lmtrainer.config.model import Architecture, ModelType
from lmtrainer.faults import UserError
from lmtrainer.models.attention import PACKED, register
from lmtrainer.vocab import Vocabulary

_CLASSES: dict[ModelType, type[PreTrainedModel]] = {
    "bert": BertForMaskedLM,
    "gpt2": GPT2LMHeadModel,
}


def build(kind: ModelType, sizes: Architecture, vocabulary: Vocabulary, *, seed: int) -> Any:
    """A model with fresh float32 weights; the same seed gives the same ones on every machine."""
    _make_ready()
    config = _bert(sizes, vocabulary) if kind == "bert" else _gpt2(sizes, vocabulary)
    config._attn_implementation = PACKED
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _CLASSES[kind](config)


def from_folder(kind: ModelType, folder: Path, *, vocabulary_size: int | None = None) -> Any:
    """The model that lies in `folder`, in float32: safetensors only, no code from the folder.

    Raises UserError if it is of another family or has fewer embeddings than the tokenizer has ids.
    """
    _make_ready()
    if not (folder / "config.json").is_file():
        raise UserError(
            f"model.from: {folder} has no config.json; give a folder saved by the trainer"
        )
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type != kind:
        raise UserError(
            f"model.type: {kind}, but {folder} holds a {config.model_type}; change either"
        )
    if vocabulary_size is not None and config.vocab_size < vocabulary_size:
        raise UserError(
            f"tokenizer: has {vocabulary_size} tokens, the model in {folder} {config.vocab_size}; "
            "choose the tokenizer that the model was trained with"
        )
    return _CLASSES[kind].from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation=PACKED,
        local_files_only=True,
        use_safetensors=True,
    )


def _make_ready() -> None:
    """Make packed attention known, and keep transformers' progress bars out of the logs."""
    register()
    transformers.utils.logging.disable_progress_bar()


def _bert(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    return BertConfig(
        vocab_size=vocabulary.size,
        hidden_size=sizes.hidden_size,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.intermediate_size,
        max_position_embeddings=sizes.max_positions,
        hidden_dropout_prob=sizes.dropout,
        attention_probs_dropout_prob=sizes.attention_dropout,
        layer_norm_eps=sizes.layer_norm_epsilon,
        initializer_range=sizes.initializer_range,
        pad_token_id=vocabulary.pad,
    )


def _gpt2(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    return GPT2Config(
        vocab_size=vocabulary.size,
        n_embd=sizes.hidden_size,
        n_layer=sizes.layers,
        n_head=sizes.heads,
        n_inner=sizes.intermediate_size,
        n_positions=sizes.max_positions,
        resid_pdrop=sizes.dropout,
        embd_pdrop=sizes.dropout,
        attn_pdrop=sizes.attention_dropout,
        layer_norm_epsilon=sizes.layer_norm_epsilon,
        initializer_range=sizes.initializer_range,
        bos_token_id=vocabulary.eos,
        eos_token_id=vocabulary.eos,
    )
