"""The blocks `model` and `tokenizer` out of the flags that Hugging Face's example scripts share:
--model_type, --config_name, --model_name_or_path, --config_overrides, --tokenizer_name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmtrainer.compat.documents import Files
from lmtrainer.compat.flags import Flag, Said, Values, ignored, renamed
from lmtrainer.compat.models import (
    NAMES,
    changes,
    family_of,
    location_of,
    read_overrides,
    saved_config,
)
from lmtrainer.config.architecture import (
    DEFAULT_PRESET,
    KEPT_BY_NO_WEIGHT,
    PRESETS,
    ArchitectureChanges,
    ModelType,
)
from lmtrainer.config.mistakes import Mistake, meant, show
from lmtrainer.config.model import OBJECTIVES
from lmtrainer.config.schema import fields

MODEL_FLAGS: tuple[Flag, ...] = (
    renamed("model_type", "text", "model.type"),
    renamed("config_name", "text", "model.type and model.config"),
    renamed("model_name_or_path", "text", "model.from"),
    renamed("tokenizer_name", "text", "tokenizer.from"),
    *ignored("nothing is fetched", "cache_dir", "model_revision"),
    *ignored("the fast tokenizer is always used", "use_fast_tokenizer", kind="switch"),
    *ignored("a token for the hub is read from HF_TOKEN", "use_auth_token", kind="switch"),
)
OVERRIDES = renamed("config_overrides", "text", "model.config")

_SIZES = frozenset(f.key for f in fields(ArchitectureChanges) if f.name not in KEPT_BY_NO_WEIGHT)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model as the command line means it."""

    family: ModelType
    block: Mapping[str, Any]
    """`model` of the configuration."""
    positions: int | None
    """Longest sequence, where it is known; only a folder that is not here knows it otherwise."""

    @property
    def objective(self) -> str:
        return OBJECTIVES[self.family]


def read_model(values: Values, said: Said, files: Files, default: ModelType | None = None) -> Model:
    """The model of a script; what is wrong with it goes to `said`. `default`: the family where
    nothing tells it."""
    name, config = values["model_name_or_path"], values["config_name"]
    saved = saved_config(name, files) if name else None
    given = saved_config(config, files) if config and config != name else saved
    family = _family(values, said, given or saved, default)
    wanted = _changes(family, given, config or name or "", said) if given else {}
    text = values.get("config_overrides")
    if text:
        overrides, mistakes = read_overrides(family, text, "--config_overrides")
        said.mistakes += mistakes
        wanted |= overrides
    if name is None:
        return _from_scratch(family, config or "", wanted, known=given is not None)
    held = _changes(family, saved, name, said) if saved else {}
    return _from_saved(family, location_of(name, files), wanted, held, said)


def _family(
    values: Values, said: Said, plain: Mapping[str, Any] | None, default: ModelType | None
) -> ModelType:
    named: str = values["config_name"] or values["model_name_or_path"] or ""
    if plain is not None and "model_type" in plain:
        found = family_of(plain, str(named))
        if isinstance(found, Mistake):
            said.mistakes.append(found)
            return "bert"
        return found
    if named in NAMES:
        return NAMES[named][0]
    kind = values["model_type"]
    if kind in PRESETS:
        return next(family for family in PRESETS if family == kind)
    if kind is not None:
        said.wrong("model_type", kind, "is no family that is known here", meant(kind, PRESETS))
    elif default is None:
        flag = "config_name" if values["config_name"] else "model_name_or_path"
        rule = "has no config.json here and is no name that is known"
        way_out = f"give --model_type, or one of {', '.join(NAMES)}"
        said.wrong(flag, named or None, rule if named else "required", way_out)
    return default or "bert"


def _changes(family: ModelType, plain: Mapping[str, Any], where: str, said: Said) -> dict[str, Any]:
    found, mistakes = changes(family, plain, where)
    said.mistakes += mistakes
    return found


def _from_scratch(family: ModelType, name: str, wanted: Mapping[str, Any], *, known: bool) -> Model:
    """A file gives the sizes, or a name that stands for them; what neither says the preset does."""
    preset = NAMES[name][1] if name in NAMES and not known else None
    block: dict[str, Any] = {"type": family}
    if preset or not known:
        block["preset"] = preset or DEFAULT_PRESET[family]
    if wanted:
        block["config"] = dict(wanted)
    sizes = PRESETS[family][preset or DEFAULT_PRESET[family]]
    return Model(family=family, block=block, positions=_positions(wanted) or sizes.max_positions)


def _from_saved(
    family: ModelType,
    place: str,
    wanted: Mapping[str, Any],
    held: Mapping[str, Any],
    said: Said,
) -> Model:
    """A saved model keeps its sizes: others are a mistake; other habits are changes."""
    for key, value in wanted.items():
        if key in _SIZES and key != "initializerRange" and held.get(key, value) != value:
            rule = f"asks for {key} {show(value)}, the saved model has {show(held[key])}"
            way_out = "a saved model keeps its sizes: remove it, or start from scratch"
            said.wrong("model_name_or_path", place, rule, way_out)
    habits = {k: v for k, v in wanted.items() if k not in _SIZES and held.get(k) != v}
    block: dict[str, Any] = {"type": family, "from": place, "resizeEmbeddings": True}
    if habits:
        block["config"] = habits
    return Model(family=family, block=block, positions=_positions(held))


def _positions(plain: Mapping[str, Any]) -> int | None:
    """Of a file that may hold anything there: what is no number is told when all is checked."""
    found = plain.get("maxPositions")
    return found if isinstance(found, int) else None


def read_tokenizer(values: Values, said: Said, files: Files) -> dict[str, Any]:
    """The block `tokenizer`: its own folder, or that of the model."""
    name = values["tokenizer_name"] or values["model_name_or_path"]
    if name is None:
        said.wrong("tokenizer_name", None, "required", "name the folder of a tokenizer")
        return {}
    return {"from": location_of(name, files)}


def read_length(flag: str, wanted: int | None, model: Model, said: Said, *, most: int) -> int:
    """Longest sequence: as asked, but no longer than the model reads; else the model's own, at most
    `most`."""
    limit = model.positions or most
    if wanted is None or wanted <= 0:
        length = min(limit, most)
        said.note(flag, "made right", f"phases[0].sequenceLength {length}, as the model reads it")
        return length
    if wanted > limit:
        said.note(flag, "made right", f"phases[0].sequenceLength {limit}: the model reads no more")
    return min(wanted, limit)
