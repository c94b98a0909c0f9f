"""Makes a model of the configured family and sizes, or takes one from a folder. The one place that
maps our words for sizes to those of transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from lmtrainer.config.architecture import (
    Architecture,
    ModelType,
)
from lmtrainer.faults import UserError
from lmtrainer.models import groupbert, saved
from lmtrainer.models.attention import PACKED, register
from lmtrainer.models.groupbert import (
    GroupBertConfig,
    GroupBertForMaskedLM,
    GroupBertForPreTraining,
)
from lmtrainer.vocab import Vocabulary

_CLASSES: dict[ModelType, type[PreTrainedModel]] = {
    "bert": BertForMaskedLM,
    "roberta": RobertaForMaskedLM,
    "groupbert": GroupBertForMaskedLM,
    "gpt2": GPT2LMHeadModel,
}
_PAIR_CLASSES: dict[ModelType, type[PreTrainedModel]] = {
    "bert": BertForPreTraining,
    "groupbert": GroupBertForPreTraining,
}
"""Of families that learn of pairs of sentences, too."""
_PAIRED = "ForPreTraining"


def build(
    kind: ModelType,
    sizes: Architecture,
    vocabulary: Vocabulary,
    *,
    seed: int,
    pairs: bool = False,
) -> Any:
    """A model with fresh float32 weights; the same seed gives the same ones on every machine. With
    `pairs` it has a head for pairs of sentences as well."""
    _make_ready()
    config = _CONFIGS[kind](sizes, vocabulary)
    config._attn_implementation = PACKED
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _class(kind, pairs=pairs)(_named(config, kind, pairs=pairs))


def from_folder(  # noqa: PLR0913 - words that say what they are, each with a default
    kind: ModelType,
    folder: Path,
    *,
    vocabulary_size: int | None = None,
    resize: bool = False,
    habits: Mapping[str, object] = MappingProxyType({}),
    seed: int = 0,
    pairs: bool | None = None,
) -> Any:
    """The model that lies in `folder`, in float32, whatever it was saved in; nothing of the folder
    is run. `resize`: the tokens that the tokenizer has more of get new embeddings, out of `seed`.
    `habits` (`ArchitectureChanges.habits`) are what it shall do otherwise than it was saved.
    `pairs`: with a head for pairs of sentences; None: if it was saved with one.

    Raises UserError if it is of another family, has fewer embeddings than the tokenizer has ids, or
    lacks weights of the body; weights of the head that are missing begin afresh, and are told.
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
    wanted = config.vocab_size if vocabulary_size is None else vocabulary_size
    if config.vocab_size < wanted and not resize:
        raise UserError(
            f"tokenizer: has {wanted} tokens, the model in {folder} {config.vocab_size}; "
            "choose the tokenizer that the model was trained with, "
            "or set model.resizeEmbeddings: true"
        )
    if pairs is None:
        pairs = _PAIRED in (config.architectures or [""])[0]
    for name, value in habits.items():
        for word in _HABITS[kind][name]:
            setattr(config, word, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _named(config, kind, pairs=pairs)
        model = saved.load(_class(kind, pairs=pairs), folder, config)
        if config.vocab_size < wanted:
            model.resize_token_embeddings(wanted)
    return model


def _class(kind: ModelType, *, pairs: bool) -> type[PreTrainedModel]:
    return (_PAIR_CLASSES if pairs else _CLASSES)[kind]


def _named(config: PretrainedConfig, kind: ModelType, *, pairs: bool) -> PretrainedConfig:
    """With the name of the class, as whoever loads the model wants it."""
    config.architectures = [_class(kind, pairs=pairs).__name__]
    return config


def _make_ready() -> None:
    """Make packed attention known, and keep transformers' progress bars out of the logs."""
    register()
    groupbert.register()
    transformers.utils.logging.disable_progress_bar()


def _bert(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    return _like_bert(BertConfig, sizes, vocabulary)


def _groupbert(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    return _like_bert(GroupBertConfig, sizes, vocabulary)


def _roberta(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    if vocabulary.pad is None:
        raise UserError(
            "tokenizer: has no pad token, from whose id roberta counts positions; "
            "choose another tokenizer, or name the token in its tokenizer_config.json"
        )
    return _like_bert(
        RobertaConfig,
        sizes,
        vocabulary,
        max_position_embeddings=sizes.max_positions + vocabulary.pad + 1,
        type_vocab_size=1,
        bos_token_id=vocabulary.cls,
        eos_token_id=vocabulary.sep,
    )


def _like_bert(
    kind: type[PretrainedConfig], sizes: Architecture, vocabulary: Vocabulary, **others: Any
) -> PretrainedConfig:
    """`others` are what the family has of its own, or otherwise."""
    shared: dict[str, Any] = {
        "vocab_size": vocabulary.size,
        "hidden_size": sizes.hidden_size,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.intermediate_size,
        "max_position_embeddings": sizes.max_positions,
        "hidden_dropout_prob": sizes.dropout,
        "attention_probs_dropout_prob": sizes.attention_dropout,
        "layer_norm_eps": sizes.layer_norm_epsilon,
        "initializer_range": sizes.initializer_range,
        "pad_token_id": vocabulary.pad,
    }
    if sizes.activation is not None:
        shared["hidden_act"] = sizes.activation
    return kind(**shared | others)


def _gpt2(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    activation = {} if sizes.activation is None else {"activation_function": sizes.activation}
    return GPT2Config(
        **activation,
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
        bos_token_id=vocabulary.eos if vocabulary.bos is None else vocabulary.bos,
        eos_token_id=vocabulary.eos,
        pad_token_id=vocabulary.pad,
    )


_LIKE_BERT: Mapping[str, tuple[str, ...]] = {
    "dropout": ("hidden_dropout_prob",),
    "attention_dropout": ("attention_probs_dropout_prob",),
    "layer_norm_epsilon": ("layer_norm_eps",),
    "activation": ("hidden_act",),
}
_HABITS: Mapping[ModelType, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "bert": _LIKE_BERT,
        "roberta": _LIKE_BERT,
        "groupbert": _LIKE_BERT,
        "gpt2": {
            "dropout": ("resid_pdrop", "embd_pdrop"),
            "attention_dropout": ("attn_pdrop",),
            "layer_norm_epsilon": ("layer_norm_epsilon",),
            "activation": ("activation_function",),
        },
    }
)
"""What transformers calls the changes that fit any weights."""

_CONFIGS: Mapping[ModelType, Callable[[Architecture, Vocabulary], PretrainedConfig]] = (
    MappingProxyType({"bert": _bert, "roberta": _roberta, "groupbert": _groupbert, "gpt2": _gpt2})
)
