"""Rules between the fields of the trainer's configuration, in CEL."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from lmjob.crd.cel import Cel, any_of, given, literal, or_else, said, told
from lmjob.crd.locationrules import LOCATION, WRITABLE
from lmtrainer.config.architecture import (
    KEPT_BY_NO_WEIGHT,
    PRESETS,
    ArchitectureChanges,
)
from lmtrainer.config.data import BY_LINE, DataConfig, ValidationConfig
from lmtrainer.config.evaluation import EvaluateConfig
from lmtrainer.config.masking import MaskingConfig
from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.model import OBJECTIVES, TRAINABLE, ModelConfig
from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.config.output import OutputConfig
from lmtrainer.config.phase import Phase
from lmtrainer.config.run import RunConfig
from lmtrainer.config.schema import fields
from lmtrainer.config.shares import share_mistakes
from lmtrainer.config.tokenizer import (
    MIN_VOCABULARY,
    TokenizerConfig,
    TokenizerTraining,
    UnigramTraining,
)


def _default(cls: type, name: str) -> object:
    return next(f.default for f in dataclasses.fields(cls) if f.name == name)


# Family -> preset ("" is what a family has without one) -> [hiddenSize, heads, maxPositions].
_SIZES = literal(
    {
        family: {
            name: [sizes.hidden_size, sizes.heads, sizes.max_positions]
            for name, sizes in [("", ModelConfig(type=family).architecture()), *presets.items()]
        }
        for family, presets in PRESETS.items()
    }
)
_NAMES = literal({family: list(presets) for family, presets in PRESETS.items()})
_NAMES_TOLD = literal({family: ", ".join(presets) for family, presets in PRESETS.items()})
_OBJECTIVES = literal(dict(OBJECTIVES))
_TRAINABLE = literal({family: list(objectives) for family, objectives in TRAINABLE.items()})
_TRAINABLE_TOLD = literal({family: " or ".join(all_) for family, all_ in TRAINABLE.items()})


def _size(model: str, key: str, index: int) -> str:
    """A size of a model from scratch whose family and preset are known."""
    preset = f'(has({model}.preset) ? {model}.preset : "")'
    changed = f"{model}.config.{key}"
    return (
        f"(has({model}.config) && has({changed}) ? {changed} : "
        f"{_SIZES}[{model}.type][{preset}][{index}])"
    )


def _from_scratch(model: str) -> str:
    """Are the sizes of a model known?"""
    known = f"(!has({model}.preset) || {model}.preset in {_NAMES}[{model}.type])"
    return f"(has({model}.type) && !has({model}.from) && {known})"


def _model() -> tuple[Cel, ...]:
    changes = [
        f"has(self.config.{f.key})"
        for f in fields(ArchitectureChanges)
        if f.name not in KEPT_BY_NO_WEIGHT
    ]
    saved = ModelConfig(type="bert", from_="pvc://a/b", preset="base")
    width, heads = _size("self", "hiddenSize", 0), _size("self", "heads", 1)
    below = f"{width} - {width} % {heads}"
    nearest = "is not divisible by heads %d; nearest "
    near = (
        f"{width} < {heads} ? {said(nearest + '%d', heads, heads)}"
        f" : {said(nearest + '%d or %d', heads, below, f'{below} + {heads}')}"
    )
    return (
        told("has(self.type)", ModelConfig().mistakes()),
        told(
            "!has(self.resizeEmbeddings) || !self.resizeEmbeddings || has(self.from)",
            ModelConfig(type="bert", resize_embeddings=True).mistakes(),
        ),
        told(
            f"!has(self.from) || !(has(self.preset) || has(self.config) && ({any_of(*changes)}))",
            saved.mistakes(),
        ),
        told(
            '!has(self.type) || self.type != "groupbert" || !has(self.config)'
            ' || !has(self.config.activation) || self.config.activation == "gelu"',
            ModelConfig(type="groupbert", config=ArchitectureChanges(activation="relu")).mistakes(),
        ),
        Cel(
            f"!has(self.type) || !has(self.preset) || self.preset in {_NAMES}[self.type]",
            expression=said("%s has the presets %s", "self.type", f"{_NAMES_TOLD}[self.type]"),
            field="preset",
        ),
        Cel(
            f"!{_from_scratch('self')} || {heads} < 1 || {width} % {heads} == 0",
            expression=near,
            field="config.hiddenSize",
        ),
    )


def _phase() -> tuple[Cel, ...]:
    size = or_else("self.globalBatchSize", _default(Phase, "global_batch_size"))
    rate = or_else("self.learningRate", _default(Phase, "learning_rate"))
    final = or_else("self.finalLearningRate", _default(Phase, "final_learning_rate"))
    return (
        told(
            "!(has(self.steps) && has(self.epochs))",
            Phase(name="a", steps=1, epochs=1).mistakes(),
        ),
        told(
            "!(has(self.share) && (has(self.steps) || has(self.epochs)))",
            Phase(name="a", steps=1, share=0.5).mistakes(),
        ),
        told("has(self.steps) || has(self.epochs) || has(self.share)", Phase(name="a").mistakes()),
        Cel(
            "!has(self.steps) || !has(self.warmupSteps) || self.warmupSteps <= self.steps",
            expression=said("is more than steps %d; lower it or train longer", "self.steps"),
            field="warmupSteps",
        ),
        told(
            "!(has(self.warmupSteps) && has(self.warmupShare))",
            Phase(name="a", steps=1, warmup_steps=0, warmup_share=0.0).mistakes(),
        ),
        Cel(
            f"{final} <= {rate}",
            expression=said("is more than learningRate %s; lower it", rate),
            field="finalLearningRate",
        ),
        Cel(
            "!has(self.microBatchSize) || type(self.microBatchSize) == string"
            f" || int(self.microBatchSize) <= {size}",
            expression=said("is more than globalBatchSize %d; lower it", size),
            field="microBatchSize",
        ),
    )


def _run() -> tuple[Cel, ...]:
    length = or_else("p.sequenceLength", _default(Phase, "sequence_length"))
    limit = _size("self.model", "maxPositions", 2)
    first = f"self.phases.map(p, {length} > {limit}).indexOf(true)"
    too_long = "[%d].sequenceLength: is more than the model's maxPositions %d; lower it or raise "
    fits = f"{_OBJECTIVES}[self.model.type]"
    told_fits = f"{_TRAINABLE_TOLD}[self.model.type]"
    family = "self.model.type"
    shared = "self.phases.exists(p, has(p.share))"
    one = Phase(name="a", steps=1)
    return (
        told(f"!has(self.steps) || {shared}", share_mistakes(1, [one])),
        told(
            f"has(self.steps) || !{shared}",
            share_mistakes(None, [dataclasses.replace(one, steps=None, share=1.0)]),
        ),
        Cel(
            f"!has(self.objective) || !has({family}) || self.objective in {_TRAINABLE}[{family}]",
            expression=said("%s trains %s; use that, or leave it out", family, told_fits),
            field="objective",
        ),
        Cel(
            f"!has({family}) || self.phases.all(p, !has(p.objective)"
            f" || p.objective in {_TRAINABLE}[{family}])",
            expression=said("an objective that %s does not train; use %s", family, told_fits),
            field="phases",
        ),
        Cel(
            f"!{_from_scratch('self.model')} || self.phases.all(p, {length} <= {limit})",
            expression=said(too_long + "model.config.maxPositions", first, limit),
            field="phases",
        ),
        Cel(
            f"!has(self.evaluate) || !{given('self.evaluate.fill')} || !has({family})"
            f' || {fits} == "mlm"',
            expression=said(
                "%s has no [MASK] to fill in; remove it, or train a masked model such as bert",
                family,
            ),
            field="evaluate.fill",
        ),
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
        or_else(f"self.{name}", _default(MaskingConfig, name)) for name in ("masked", "random")
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
        ModelConfig: _model(),
        Phase: _phase(),
        RunConfig: _run(),
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
