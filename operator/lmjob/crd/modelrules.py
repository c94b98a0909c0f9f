"""Rules of a model, in CEL: its family, its sizes, what a saved one may change. Called by
`trainerrules`, and by `phaserules`, whose lengths depend on the sizes."""

from __future__ import annotations

from lmjob.crd.cel import Cel, any_of, literal, said, told
from lmtrainer.config.architecture import KEPT_BY_NO_WEIGHT, PRESETS, ArchitectureChanges
from lmtrainer.config.model import ModelConfig
from lmtrainer.config.schema import fields

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


def size_of(model: str, key: str, index: int) -> str:
    """A size of a model from scratch whose family and preset are known."""
    preset = f'(has({model}.preset) ? {model}.preset : "")'
    changed = f"{model}.config.{key}"
    return (
        f"(has({model}.config) && has({changed}) ? {changed} : "
        f"{_SIZES}[{model}.type][{preset}][{index}])"
    )


def from_scratch(model: str) -> str:
    """Are the sizes of a model known?"""
    known = f"(!has({model}.preset) || {model}.preset in {_NAMES}[{model}.type])"
    return f"(has({model}.type) && !has({model}.from) && {known})"


def model_rules() -> tuple[Cel, ...]:
    """Rules of `model`."""
    changes = [
        f"has(self.config.{f.key})"
        for f in fields(ArchitectureChanges)
        if f.name not in KEPT_BY_NO_WEIGHT
    ]
    saved = ModelConfig(type="bert", from_="pvc://a/b", preset="base")
    width, heads = size_of("self", "hiddenSize", 0), size_of("self", "heads", 1)
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
            f"!{from_scratch('self')} || {heads} < 1 || {width} % {heads} == 0",
            expression=near,
            field="config.hiddenSize",
        ),
    )
