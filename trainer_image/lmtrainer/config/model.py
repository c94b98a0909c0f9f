"""Which model: a family, a named size, changes to it; or the weights in a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from lmtrainer.config.architecture import (
    CONV_GROUP_SIZE,
    DEFAULT_PRESET,
    FFN_GROUPS,
    PRESETS,
    Architecture,
    ArchitectureChanges,
    ModelType,
)
from lmtrainer.config.mistakes import Mistake, close_word, show
from lmtrainer.config.schema import setting
from lmtrainer.config.sources import location_mistakes

Objective = Literal["mlm", "mlm+nsp", "clm"]

OBJECTIVES: Mapping[ModelType, Objective] = MappingProxyType(
    {"bert": "mlm", "roberta": "mlm", "groupbert": "mlm", "gpt2": "clm"}
)
"""What each family is trained for, if nothing else is said."""

TRAINABLE: Mapping[ModelType, tuple[Objective, ...]] = MappingProxyType(
    {
        "bert": ("mlm", "mlm+nsp"),
        "roberta": ("mlm",),
        "groupbert": ("mlm", "mlm+nsp"),
        "gpt2": ("clm",),
    }
)
"""What each family can be trained for; `mlm+nsp` needs its two kinds of segments."""


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
            if self.preset is not None or self.config.sizes():
                yield Mistake(
                    "from",
                    f'"{self.from_}"',
                    "a saved model keeps its sizes",
                    "remove preset and the sizes in config",
                    about=("preset", "config"),
                )
        yield from self._activation_mistakes()
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

    def _activation_mistakes(self) -> Iterator[Mistake]:
        if self.type == "groupbert" and self.config.activation not in (None, "gelu"):
            rule, way_out = "groupbert computes gelu", "leave it out"
            shown = show(self.config.activation)
            yield Mistake("config.activation", shown, rule, way_out, about=("type",))

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
        """The sizes of a model from scratch."""
        assert self.type is not None
        preset = PRESETS[self.type][self.preset or DEFAULT_PRESET[self.type]]
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
