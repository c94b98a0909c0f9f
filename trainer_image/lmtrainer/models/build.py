"""Makes a model of the configured family and sizes, or takes one from a folder."""

from __future__ import annotations

import dataclasses
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

from lmtrainer.config import RunConfig
from lmtrainer.config.architecture import Architecture, ModelType
from lmtrainer.config.spelling import SPELLING
from lmtrainer.contract.output import MODEL_CONFIG_FILE
from lmtrainer.faults import UserError
from lmtrainer.models import groupbert, saved
from lmtrainer.models.attention import PACKED, register
from lmtrainer.models.groupbert import (
    GroupBertConfig,
    GroupBertForMaskedLM,
    GroupBertForPreTraining,
)
from lmtrainer.models.precision import shorten
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


def for_run(run: RunConfig, vocabulary: Vocabulary, folder: Path | None) -> Any:
    """What the training of a run begins with, in the format that its weights are trained in:
    `model.from`, which lies in `folder`, or fresh weights."""
    assert run.model.type is not None, "the plan resolves it"
    if folder is None:
        sizes = run.model.architecture()
        model = build(run.model.type, sizes, vocabulary, seed=run.seed, pairs=run.has_pairs)
    else:
        model = from_folder(
            run.model.type,
            folder,
            vocabulary_size=vocabulary.size,
            resize=run.model.resize_embeddings,
            habits=run.model.config.habits(),
            seed=run.seed,
            pairs=run.has_pairs,
        )
    return shorten(model, run)


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
    if not (folder / MODEL_CONFIG_FILE).is_file():
        raise UserError(
            f"model.from: {folder} has no {MODEL_CONFIG_FILE}; give a folder saved by the trainer"
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
        for word in SPELLING[kind][name]:
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


def _spelled(kind: ModelType, sizes: Architecture, vocabulary: Vocabulary) -> dict[str, Any]:
    """What every family has, in its own words; what is None stays as the family has it."""
    values = {name: getattr(sizes, name) for name in SPELLING[kind]}
    return {
        "vocab_size": vocabulary.size,
        "pad_token_id": vocabulary.pad,
        **{
            word: value
            for name, value in values.items()
            if value is not None
            for word in SPELLING[kind][name]
        },
    }


def _bert(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    return BertConfig(**_spelled("bert", sizes, vocabulary))


def _groupbert(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    return GroupBertConfig(**_spelled("groupbert", sizes, vocabulary))


def _roberta(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    if vocabulary.pad is None:
        raise UserError(
            "tokenizer: has no pad token, from whose id roberta counts positions; "
            "choose another tokenizer, or name the token in its tokenizer_config.json"
        )
    more = sizes.max_positions + vocabulary.pad + 1
    return RobertaConfig(
        **_spelled("roberta", dataclasses.replace(sizes, max_positions=more), vocabulary),
        type_vocab_size=1,
        bos_token_id=vocabulary.cls,
        eos_token_id=vocabulary.sep,
    )


def _gpt2(sizes: Architecture, vocabulary: Vocabulary) -> PretrainedConfig:
    return GPT2Config(
        **_spelled("gpt2", sizes, vocabulary),
        bos_token_id=vocabulary.eos if vocabulary.bos is None else vocabulary.bos,
        eos_token_id=vocabulary.eos,
    )


_CONFIGS: Mapping[ModelType, Callable[[Architecture, Vocabulary], PretrainedConfig]] = (
    MappingProxyType({"bert": _bert, "roberta": _roberta, "groupbert": _groupbert, "gpt2": _gpt2})
)
