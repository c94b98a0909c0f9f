"""Fills in, once, what a configuration left to another field or to the machine.

A job that was planned keeps what stands here: a newer version of the software, with other presets
or defaults, does not change it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from lmtrainer.config.architecture import (
    ArchitectureChanges,
    ModelType,
)
from lmtrainer.config.hashing import config_hash
from lmtrainer.config.model import OBJECTIVES, ModelConfig
from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.config.pairs import PairsConfig
from lmtrainer.config.phase import Phase, warmup_steps
from lmtrainer.config.precision import LossScaleConfig, Precision, loss_scale_type
from lmtrainer.config.run import ResolvedRun, RunConfig
from lmtrainer.config.shares import shared_out
from lmtrainer.config.tokenizer import (
    SpecialTokens,
    TokenizerConfig,
    TokenizerTraining,
    TokenizerType,
    UnigramTraining,
)

TOKENIZER_DEFAULTS: Mapping[ModelType, tuple[TokenizerType, int]] = MappingProxyType(
    {
        "bert": ("wordpiece", 30522),
        "roberta": ("bytebpe", 50265),
        "groupbert": ("wordpiece", 30522),
        "gpt2": ("bytebpe", 50257),
    }
)
"""Tokenizer and vocabulary size that a family is known with."""

MIN_FREQUENCY = 2
"""How often a pair must be seen to become a token, unless that is said."""


def resolve(config: RunConfig, *, precision: Precision, threads: int) -> ResolvedRun:
    """The same configuration without "auto" and without names that stand for sizes, and its hash;
    idempotent."""
    assert config.model.type is not None
    automatic = config.threads_per_process == "auto"
    number_format = precision if config.precision == "auto" else config.precision
    filled = dataclasses.replace(
        config,
        precision=number_format,
        loss_scale=_loss_scale(config.loss_scale, number_format),
        threads_per_process=threads if automatic else config.threads_per_process,
        objective=config.objective or OBJECTIVES[config.model.type],
        data=dataclasses.replace(config.data, documents=config.data.document_rule),
        optimizer=_optimizer(config.optimizer),
        tokenizer=resolve_tokenizer(config.tokenizer, config.model.type),
        model=_model(config.model),
        pairs=(config.pairs or PairsConfig()) if config.draws_pairs else config.pairs,
        steps=None,
        phases=tuple(map(_phase, _with_steps(config.steps, config.phases))),
    )
    values = {f.name: getattr(filled, f.name) for f in dataclasses.fields(RunConfig)}
    return ResolvedRun(**values, config_hash=config_hash(filled))


def resolve_tokenizer(config: TokenizerConfig, family: ModelType) -> TokenizerConfig:
    """With the algorithm, the size and the special tokens that a family is known with."""
    if config.from_ is not None:
        return config
    training = config.train or TokenizerTraining()
    kind = training.type or TOKENIZER_DEFAULTS[family][0]
    specials = training.special_tokens or _specials(family, kind)
    filled = dataclasses.replace(training, type=kind, special_tokens=specials)
    if kind == "wordlevel" and training.min_frequency is not None:
        return TokenizerConfig(train=filled)  # all words of that frequency, however many
    size = training.vocab_size or TOKENIZER_DEFAULTS[family][1]
    filled = dataclasses.replace(filled, vocab_size=size)
    if kind == "unigram":
        filled = dataclasses.replace(filled, unigram=training.unigram or UnigramTraining())
    elif kind != "wordlevel":
        filled = dataclasses.replace(filled, min_frequency=training.min_frequency or MIN_FREQUENCY)
    return TokenizerConfig(train=filled)


def _specials(family: ModelType, kind: TokenizerType) -> SpecialTokens:
    if family == "gpt2" and kind == "unigram":
        return "sentencepiece"  # GPT-2 knows nothing unknown; SentencePiece may
    return "bert" if family == "groupbert" else family


def _model(config: ModelConfig) -> ModelConfig:
    """Sizes instead of the name of a preset; a saved model keeps its own."""
    if config.from_ is not None:
        return config
    sizes = ArchitectureChanges(**dataclasses.asdict(config.architecture()))
    return dataclasses.replace(config, preset=None, config=sizes)


def _loss_scale(config: LossScaleConfig, precision: Precision) -> LossScaleConfig:
    return dataclasses.replace(config, type=loss_scale_type(config, precision))


def _optimizer(config: OptimizerConfig) -> OptimizerConfig:
    if config.weight_decay is not None:
        return config
    return dataclasses.replace(config, weight_decay=0.0 if config.type == "adam" else 0.01)


def _with_steps(total: int | None, phases: Sequence[Phase]) -> Sequence[Phase]:
    """Steps instead of shares of them."""
    if total is None:
        return phases
    steps = shared_out(total, [phase.share or 0.0 for phase in phases])
    return [
        dataclasses.replace(phase, steps=count, share=None)
        for phase, count in zip(phases, steps, strict=True)
    ]


def _phase(phase: Phase) -> Phase:
    """With its warm-up in steps; that of epochs only the data can tell."""
    if phase.optimizer is not None:
        phase = dataclasses.replace(phase, optimizer=_optimizer(phase.optimizer))
    if phase.steps is None:
        return phase
    steps = warmup_steps(phase, phase.steps)
    return dataclasses.replace(phase, warmup_steps=steps, warmup_share=None)
