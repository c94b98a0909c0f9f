"""Rules between the fields of the trainer's configuration, in CEL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from lmjob.crd.cel import Cel, default_of, given, literal, or_else, said, told
from lmjob.crd.locationrules import LOCATION, WRITABLE
from lmjob.crd.modelrules import model_rules
from lmjob.crd.phaserules import phase_rules, run_rules
from lmtrainer.config.data import BY_LINE, DataConfig, ValidationConfig
from lmtrainer.config.evaluation import EvaluateConfig
from lmtrainer.config.masking import MaskingConfig
from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.model import ModelConfig
from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.config.output import OutputConfig
from lmtrainer.config.phase import Phase
from lmtrainer.config.run import RunConfig
from lmtrainer.config.tokenizer import (
    MIN_VOCABULARY,
    TokenizerConfig,
    TokenizerTraining,
    UnigramTraining,
)


def _data() -> tuple[Cel, ...]:
    train = ("pvc://a/b",)
    made = "has(self.sequences) && self.sequences"
    return (
        told(
            f'!(has(self.documents) && self.documents != "line" && {made} in {literal(BY_LINE)})',
            DataConfig(train=train, documents="file", sequences="lines").mistakes(),
        ),
        told(
            f'!has(self.longSentences) || {made} == "sentences"',
            DataConfig(train=train, long_sentences="split").mistakes(),
        ),
        told(
            "!has(self.weights) || size(self.weights) == size(self.train)",
            DataConfig(train=train, weights=(1.0, 1.0)).mistakes(),
        ),
    )


def _optimizer() -> tuple[Cel, ...]:
    other = '!has(self.type) || self.type != "adam"'
    return (
        told(
            f"{other} || !has(self.weightDecay) || self.weightDecay == 0.0",
            OptimizerConfig(type="adam", weight_decay=0.1).mistakes(),
        ),
        told(
            f"{other} || !has(self.biasCorrection) || self.biasCorrection",
            OptimizerConfig(type="adam", bias_correction=False).mistakes(),
        ),
    )


def _masking() -> Cel:
    parts = [
        or_else(f"self.{name}", default_of(MaskingConfig, name)) for name in ("masked", "random")
    ]
    total = " + ".join(parts)
    return Cel(
        f"{total} <= 1.0",
        expression=said("masked + random is %s, above 1; lower one", total),
        field="random",
    )


def _tokenizer_training() -> tuple[Cel, ...]:
    word_level = 'has(self.type) && self.type == "wordlevel"'
    unigram = 'has(self.type) && self.type == "unigram"'

    def mistakes(**fields: Any) -> Iterable[Mistake]:
        return TokenizerTraining(**fields).mistakes()

    return (
        told(
            f"!({word_level} && has(self.vocabSize) && has(self.minFrequency))",
            mistakes(type="wordlevel", vocab_size=1, min_frequency=1),
        ),
        told(
            f"!has(self.vocabSize) || self.vocabSize >= {MIN_VOCABULARY} || {word_level}",
            mistakes(vocab_size=1),
        ),
        told(f"!has(self.segmenter) || {word_level}", mistakes(segmenter="newmm")),
        told(f"!has(self.unigram) || {unigram}", mistakes(unigram=UnigramTraining())),
        told(
            f"!has(self.minFrequency) || !({unigram})",
            mistakes(type="unigram", min_frequency=1),
        ),
    )


OBJECT_RULES: Mapping[type, tuple[Cel, ...]] = MappingProxyType(
    {
        ModelConfig: model_rules(),
        Phase: phase_rules(),
        RunConfig: run_rules(),
        MaskingConfig: (_masking(),),
        OptimizerConfig: _optimizer(),
        DataConfig: _data(),
        ValidationConfig: (
            told(f"has(self.share) != {given('self.files')}", ValidationConfig().mistakes()),
        ),
        TokenizerTraining: _tokenizer_training(),
        TokenizerConfig: (
            told(
                "!(has(self.train) && has(self.from))",
                TokenizerConfig(train=TokenizerTraining(), from_="a").mistakes(),
            ),
        ),
    }
)
VALUE_RULES: Mapping[tuple[type, str], tuple[Cel, ...]] = MappingProxyType(
    {
        (DataConfig, "train"): LOCATION,
        (DataConfig, "cache"): WRITABLE,
        (ValidationConfig, "files"): LOCATION,
        (TokenizerConfig, "from"): LOCATION,
        (ModelConfig, "from"): LOCATION,
        (OutputConfig, "to"): WRITABLE,
        (EvaluateConfig, "fill"): (
            told('self.contains("[MASK]")', EvaluateConfig(fill=("a",)).mistakes(), whole=True),
        ),
    }
)
