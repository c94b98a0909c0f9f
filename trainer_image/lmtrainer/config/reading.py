"""Reads a plain mapping as a settings class, strictly: all mistakes at once, nothing guessed."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

from lmtrainer.config.mistakes import Mistake, MistakesError, join, show
from lmtrainer.config.schema import Rule, fields

T = TypeVar("T")

MAX_STRING = 4096
"""Longest string of a document, in characters: longer ones are mistakes or attacks."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


def parse(cls: type[T], raw: object, path: str = "") -> T:
    """Read `raw` as a `cls`, or raise `MistakesError` with every mistake found under `path`."""
    mistakes: list[Mistake] = []
    value = _read_object(cls, raw, path, mistakes)
    if mistakes:
        raise MistakesError(mistakes)
    return typing.cast(T, value)


def _read_object(cls: type, raw: object, path: str, mistakes: list[Mistake]) -> object:
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(path or cls.__name__, show(raw), "must be an object"))
        return None
    before = len(mistakes)
    known = {f.key: f for f in fields(cls)}
    mistakes.extend(_unknown(str(key), tuple(known), path) for key in raw if key not in known)
    values = {}
    for f in known.values():
        where = join(path, f.key)
        if raw.get(f.key) is not None:
            values[f.name] = _read(f.kind, raw[f.key], where, f.rule, mistakes)
        elif f.must:
            way_out = f.rule.way_out or f"give {f.key}: {f.rule.help}"
            mistakes.append(Mistake(where, "", "required", way_out))
    if len(mistakes) > before:
        return None
    value = cls(**values)
    mistakes.extend(mistake.under(path) for mistake in _own_mistakes(value))
    return value


def _own_mistakes(value: object) -> Iterable[Mistake]:
    rules_between_fields = getattr(value, "mistakes", tuple)
    return typing.cast(Iterable[Mistake], rules_between_fields())


def _unknown(key: str, known: tuple[str, ...], path: str) -> Mistake:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    way_out = (
        f"did you mean {join(path, near[0])}?" if near else f"known fields: {', '.join(known)}"
    )
    name = key if re.fullmatch(r"[\w.\-/]{1,60}", key) else show(key)
    return Mistake(join(path, name), "", "unknown field", way_out)


def _read(kind: Any, raw: object, path: str, rule: Rule, mistakes: list[Mistake]) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _read_union(typing.get_args(kind), raw, path, rule, mistakes)
    if origin is Literal:
        return _read_choice(typing.get_args(kind), raw, path, mistakes)
    if origin is tuple:
        return _read_list(typing.get_args(kind)[0], raw, path, rule, mistakes)
    if origin is not None and issubclass(origin, Mapping):
        return _read_mapping(typing.get_args(kind)[1], raw, path, rule, mistakes)
    if dataclasses.is_dataclass(kind):
        return _read_object(typing.cast(type, kind), raw, path, mistakes)
    return _read_scalar(kind, raw, path, rule, mistakes)


def _read_union(
    kinds: tuple[Any, ...], raw: object, path: str, rule: Rule, mistakes: list[Mistake]
) -> Any:
    """`X | None` reads as X; `int | Literal["auto"]` takes the word or the number."""
    rest = [kind for kind in kinds if kind is not type(None)]
    words = [
        w for kind in rest if typing.get_origin(kind) is Literal for w in typing.get_args(kind)
    ]
    others = [kind for kind in rest if typing.get_origin(kind) is not Literal]
    if raw in words or not others:
        return _read_choice(tuple(words), raw, path, mistakes)
    found: list[Mistake] = []
    value = _read(others[0], raw, path, rule, found)
    choice = "".join(f' or "{word}"' for word in words)
    mistakes.extend(dataclasses.replace(m, rule=m.rule + choice) for m in found)
    return value


def _read_choice(words: tuple[Any, ...], raw: object, path: str, mistakes: list[Mistake]) -> Any:
    if isinstance(raw, str) and raw in words:
        return raw
    near = difflib.get_close_matches(str(raw), words, n=1, cutoff=0.5)
    way_out = f'did you mean "{near[0]}"?' if near else ""
    mistakes.append(Mistake(path, show(raw), f"must be one of {', '.join(words)}", way_out))
    return None


def _read_list(
    kind: Any, raw: object, path: str, rule: Rule, mistakes: list[Mistake]
) -> tuple[Any, ...] | None:
    if not isinstance(raw, list | tuple):
        mistakes.append(Mistake(path, show(raw), "must be a list"))
        return None
    if len(raw) < rule.min_items:
        needed = f"needs at least {rule.min_items} item{'s' if rule.min_items > 1 else ''}"
        mistakes.append(Mistake(path, show(raw), needed, rule.way_out))
        return None
    item_rule = dataclasses.replace(rule, min_items=0)
    return tuple(
        _read(kind, item, f"{path}[{index}]", item_rule, mistakes) for index, item in enumerate(raw)
    )


def _read_mapping(
    kind: Any, raw: object, path: str, rule: Rule, mistakes: list[Mistake]
) -> Mapping[str, Any] | None:
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(path, show(raw), "must be an object"))
        return None
    for key in raw:
        _read_scalar(str, key, path, Rule(help=""), mistakes)
    return types.MappingProxyType(
        {
            str(key): _read(kind, item, join(path, str(key)), rule, mistakes)
            for key, item in raw.items()
        }
    )


def _read_scalar(kind: Any, raw: object, path: str, rule: Rule, mistakes: list[Mistake]) -> Any:
    checks: Mapping[Any, Callable[[object], str]] = {
        bool: lambda v: "" if isinstance(v, bool) else "must be true or false",
        int: _integer_fault,
        float: _number_fault,
        str: lambda v: "" if isinstance(v, str) else "must be a string",
    }
    if kind is Any:
        return raw
    fault = checks[kind](raw)
    if fault:
        way_out = "remove the quotes and spaces" if _looks_numeric(raw) else ""
        mistakes.append(Mistake(path, _typed(raw), fault, way_out))
        return None
    value = kind(raw)
    fault = _text_fault(value, rule) if kind is str else _range_fault(value, rule)
    if fault:
        mistakes.append(Mistake(path, show(raw), fault, rule.way_out))
    return value


def _typed(raw: object) -> str:
    return f"string {show(raw)}" if isinstance(raw, str) else show(raw)


def _looks_numeric(raw: object) -> bool:
    if not isinstance(raw, str):
        return False
    try:
        float(raw)
    except ValueError:
        return False
    return True


def _integer_fault(value: object) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    whole = whole or (isinstance(value, float) and value.is_integer())
    return "" if whole else "must be an integer"


def _number_fault(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    return "" if math.isfinite(value) else "must be a finite number"


def _range_fault(value: Any, rule: Rule) -> str:
    if rule.minimum is not None and value < rule.minimum:
        return f"must be >= {rule.minimum:g}"
    if rule.above is not None and value <= rule.above:
        return f"must be > {rule.above:g}"
    if rule.maximum is not None and value > rule.maximum:
        return f"must be <= {rule.maximum:g}"
    if rule.below is not None and value >= rule.below:
        return f"must be < {rule.below:g}"
    return ""


def _text_fault(value: str, rule: Rule) -> str:
    if len(value) > MAX_STRING:
        return f"must be at most {MAX_STRING} characters, has {len(value)}"
    control = _CONTROL.search(value)
    if control:
        return (
            f"must not hold control characters; U+{ord(control.group()):04X} at {control.start()}"
        )
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        return rule.pattern_help or f"must match {rule.pattern}"
    return ""
