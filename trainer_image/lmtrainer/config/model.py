"""Which model: a family, a named size, changes to it; or the weights in a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from lmtrainer.config.mistakes import Mistake, close_word, show
from lmtrainer.config.schema import setting
from lmtrainer.config.sources import location_mistakes

ModelType = Literal["bert", "roberta", "groupbert", "gpt2"]
Objective = Literal["mlm", "clm"]

CONV_GROUP_SIZE, CONV_KERNEL_SIZE, FFN_GROUPS = 16, 7, 4
"""Of GroupBERT: channels and positions that a convolution mixes, groups of the way back from the
inner width."""

MAX_WIDTH = 131_072
"""Widest model: eight times the widest that has been published."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The sizes of a model, in the words of every family."""

    layers: int
    hidden_size: int
    heads: int
    intermediate_size: int
    max_positions: int
    dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_epsilon: float = 1e-12
    initializer_range: float = 0.02


@dataclass(frozen=True, kw_only=True)
class ArchitectureChanges:
    """Changes to a preset; what is left out stays as the preset has it."""

    layers: int | None = setting(None, "transformer layers", minimum=1, maximum=1000)
    hidden_size: int | None = setting(
        None, "width of the hidden states", minimum=1, maximum=MAX_WIDTH
    )
    heads: int | None = setting(
        None, "attention heads; must divide hiddenSize", minimum=1, maximum=MAX_WIDTH
    )
    intermediate_size: int | None = setting(
        None,
        "width of the feed-forward part; left out, 4 x hiddenSize if hiddenSize is changed",
        minimum=1,
        maximum=4 * MAX_WIDTH,
    )
    max_positions: int | None = setting(
        None, "longest sequence the model can read", minimum=4, maximum=1_048_576
    )
    dropout: float | None = setting(None, "dropout of hidden states", minimum=0, below=1)
    attention_dropout: float | None = setting(None, "dropout of attention", minimum=0, below=1)
    layer_norm_epsilon: float | None = setting(None, "epsilon of the layer norms", above=0)
    initializer_range: float | None = setting(None, "standard deviation at the start", above=0)


def _bert(layers: int, hidden: int, heads: int) -> Architecture:
    return Architecture(
        layers=layers,
        hidden_size=hidden,
        heads=heads,
        intermediate_size=4 * hidden,
        max_positions=512,
    )


def _roberta(layers: int, hidden: int, heads: int) -> Architecture:
    return dataclasses.replace(_bert(layers, hidden, heads), layer_norm_epsilon=1e-5)


def _gpt2(layers: int, hidden: int, heads: int) -> Architecture:
    return Architecture(
        layers=layers,
        hidden_size=hidden,
        heads=heads,
        intermediate_size=4 * hidden,
        max_positions=1024,
        layer_norm_epsilon=1e-5,
    )


# Sizes: BERT miniatures of Turc et al. 2019 (arXiv 1908.08962) and BERT's own two; GPT-2's four of
# Radford et al. 2019, RoBERTa's two of Liu et al. 2019 (arXiv 1907.11692); tiny ones for tests.
PRESETS: Mapping[ModelType, Mapping[str, Architecture]] = MappingProxyType(
    {
        "bert": {
            "tiny": _bert(2, 128, 2),
            "mini": _bert(4, 256, 4),
            "small": _bert(4, 512, 8),
            "medium": _bert(8, 512, 8),
            "base": _bert(12, 768, 12),
            "large": _bert(24, 1024, 16),
        },
        "roberta": {
            "tiny": _roberta(2, 128, 2),
            "base": _roberta(12, 768, 12),
            "large": _roberta(24, 1024, 16),
        },
        "groupbert": {
            "tiny": _bert(2, 128, 2),
            "base": _bert(12, 768, 12),
            "large": _bert(24, 1024, 16),
        },
        "gpt2": {
            "tiny": _gpt2(2, 128, 2),
            "small": _gpt2(12, 768, 12),
            "medium": _gpt2(24, 1024, 16),
            "large": _gpt2(36, 1280, 20),
            "xl": _gpt2(48, 1600, 25),
        },
    }
)

OBJECTIVES: Mapping[ModelType, Objective] = MappingProxyType(
    {"bert": "mlm", "roberta": "mlm", "groupbert": "mlm", "gpt2": "clm"}
)
"""What each family is trained for."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A model from scratch (`type`, `preset`, `config`), or the weights `from` a folder."""

    type: ModelType | None = setting(None, "model family")
    preset: str | None = setting(None, "named size of the family, such as base")
    config: ArchitectureChanges = setting(ArchitectureChanges, "changes to the preset")
    from_: str | None = setting(None, "folder of a saved model to start from")
    resize_embeddings: bool = setting(
        False, "from: new embeddings for tokens that the tokenizer has and the model has not"
    )

    def mistakes(self) -> Iterator[Mistake]:
        if self.resize_embeddings and self.from_ is None:
            rule = "is for a model that is taken from a folder"
            way_out = "remove it, or give from"
            yield Mistake("resizeEmbeddings", "true", rule, way_out, about=("from",))
        if self.from_ is not None:
            yield from location_mistakes("from", (self.from_,), single=True)
            if self.preset is not None or self.config != ArchitectureChanges():
                yield Mistake(
                    "from",
                    f'"{self.from_}"',
                    "a saved model keeps its sizes",
                    "remove preset and config",
                    about=("preset", "config"),
                )
        if self.type is None:
            yield Mistake("type", "", "required", f"give type: {', '.join(PRESETS)}")
            yield from self._given_size_mistakes()
            return
        presets = PRESETS[self.type]
        if self.preset is not None and self.preset not in presets:
            yield self._preset_mistake(self.preset, presets)
            yield from self._given_size_mistakes()
        elif self.from_ is None:
            sizes = self.architecture()
            yield from _size_mistakes(sizes.hidden_size, sizes.heads)
            if self.type == "groupbert":
                yield from _group_mistakes(sizes)

    def sizes(self) -> Architecture | None:
        """The sizes, or None where only the saved model knows them, or a mistake hides them."""
        if self.type is None or self.from_ is not None:
            return None
        known = self.preset is None or self.preset in PRESETS[self.type]
        return self.architecture() if known else None

    def _preset_mistake(self, preset: str, presets: Iterable[str]) -> Mistake:
        rule = f"{self.type} has the presets {', '.join(presets)}"
        near = close_word(preset, presets)
        way_out = f'did you mean "{near}"?' if near else ""
        return Mistake("preset", show(preset), rule, way_out, about=("type",))

    def _given_size_mistakes(self) -> Iterator[Mistake]:
        """Without a preset to fill the gaps, only what is written can be compared."""
        if self.config.hidden_size is not None and self.config.heads is not None:
            yield from _size_mistakes(self.config.hidden_size, self.config.heads)

    def architecture(self) -> Architecture:
        """The sizes of a model from scratch; without a preset `small` (gpt2) or `base`."""
        assert self.type is not None
        default = "small" if self.type == "gpt2" else "base"
        preset = PRESETS[self.type][self.preset or default]
        changes = {
            f.name: getattr(self.config, f.name)
            for f in dataclasses.fields(self.config)
            if getattr(self.config, f.name) is not None
        }
        if "hidden_size" in changes:
            changes.setdefault("intermediate_size", 4 * changes["hidden_size"])
        return dataclasses.replace(preset, **changes)


def _group_mistakes(sizes: Architecture) -> Iterator[Mistake]:
    """Widths must divide into the groups."""
    for field, size, unit in (
        ("hiddenSize", sizes.hidden_size, CONV_GROUP_SIZE),
        ("intermediateSize", sizes.intermediate_size, FFN_GROUPS),
    ):
        if size % unit:
            rule = f"is not divisible by {unit}, as groupbert needs it"
            way_out = f"nearest {max(unit, size - size % unit)} or {size - size % unit + unit}"
            about = ("type", "preset")
            yield Mistake(f"config.{field}", str(size), rule, way_out, about=about)


def _size_mistakes(hidden_size: int, heads: int) -> Iterator[Mistake]:
    rest = hidden_size % heads
    if rest:
        below, above = hidden_size - rest, hidden_size - rest + heads
        near = " or ".join(str(size) for size in (below, above) if size > 0)
        yield Mistake(
            "config.hiddenSize",
            str(hidden_size),
            f"is not divisible by heads {heads}",
            f"nearest {near}",
            about=("config.heads", "preset"),
        )
