"""Reads a plain mapping as a settings class, strictly: all mistakes at once, nothing guessed.

Reading always yields an object: what cannot be read is replaced by its default or an empty value,
so that the rules between the other fields are still checked. What those rules say about a place
that is wrong already is dropped. If there was any mistake, the object is never handed out.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from lmtrainer.config.mistakes import (
    UNKNOWN_FIELD,
    Mistake,
    MistakesError,
    close_word,
    join,
    key_place,
    overlap,
    show,
)
from lmtrainer.config.scalars import MAX_STRING, UNREADABLE, read_scalar
from lmtrainer.config.schema import Field, Rule, fields, refusals

__all__ = ["MAX_STRING", "parse"]

MAX_UNKNOWN = 50
"""Unknown fields of one object that are told one by one."""

T = TypeVar("T")


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
        return _stand_in(cls)
    before = len(mistakes)
    known = {f.key: f for f in fields(cls)}
    mistakes.extend(_unknown_fields([key for key in raw if key not in known], cls, path))
    values = {}
    for f in known.values():
        value = _read_field(f, raw.get(f.key), path, mistakes)
        if value is not UNREADABLE:
            values[f.name] = value
        elif f.must:
            values[f.name] = _stand_in(f.kind)
    value = cls(**values)
    wrong = [place for mistake in mistakes[before:] for place in mistake.spoiled]
    for mistake in _own_mistakes(value):
        seen = mistake.under(path)
        if not any(overlap(place, other) for place in seen.places for other in wrong):
            mistakes.append(seen)
    return value


def _read_field(f: Field, raw: object, path: str, mistakes: list[Mistake]) -> Any:
    """The value of a field, UNREADABLE if it was left out or is wrong."""
    where = join(path, f.key)
    if raw is not None:
        return _read(f.kind, raw, where, f.rule, mistakes)
    if f.must:
        way_out = f.rule.way_out or f"give {f.key}: {f.rule.help}"
        mistakes.append(Mistake(where, "", "required", way_out))
    return UNREADABLE


def _stand_in(kind: Any) -> Any:
    """Some value of a type, in place of one that could not be read."""
    if dataclasses.is_dataclass(kind):
        needed = {f.name: _stand_in(f.kind) for f in fields(typing.cast(type, kind)) if f.must}
        return typing.cast(type, kind)(**needed)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if type(None) in inner else _stand_in(inner[0])
    if origin is Literal:
        return inner[0]
    if origin is not None:
        return () if origin is tuple else types.MappingProxyType({})
    return None if kind is Any else kind()


def _own_mistakes(value: object) -> Iterable[Mistake]:
    rules_between_fields = getattr(value, "mistakes", tuple)
    return typing.cast(Iterable[Mistake], rules_between_fields())


def _unknown_fields(keys: list[object], cls: type, path: str) -> Iterator[Mistake]:
    """A mistake for each of the first ones: to guess what was meant takes time, and an object with
    thousands of them was meant by nobody."""
    yield from (_unknown(key, cls, path) for key in keys[:MAX_UNKNOWN])
    if len(keys) > MAX_UNKNOWN:
        more = len(keys) - MAX_UNKNOWN
        yield Mistake(path or cls.__name__, "", f"has {more} more unknown fields", "remove them")


def _unknown(key: object, cls: type, path: str) -> Mistake:
    where = key_place(path, key)
    reason = refusals(cls).get(str(key))
    if reason:
        return Mistake(where, "", "cannot be set", reason)
    known = [f.key for f in fields(cls)]
    near = close_word(key, known)
    if not near:
        return Mistake(where, "", UNKNOWN_FIELD, f"known fields: {', '.join(known)}")
    meant = join(path, near)
    return Mistake(where, "", UNKNOWN_FIELD, f"did you mean {meant}?", about=(meant,))


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
    return read_scalar(kind, raw, path, rule, mistakes)


def _read_union(
    kinds: tuple[Any, ...], raw: object, path: str, rule: Rule, mistakes: list[Mistake]
) -> Any:
    """`X | None` reads as X; `int | Literal["auto"]` takes the word or the number; of settings
    classes, `X | Y`, see `_meant`."""
    rest = [kind for kind in kinds if kind is not type(None)]
    words = [
        w for kind in rest if typing.get_origin(kind) is Literal for w in typing.get_args(kind)
    ]
    others = [kind for kind in rest if typing.get_origin(kind) is not Literal]
    if (isinstance(raw, str) and raw in words) or not others:
        return _read_choice(tuple(words), raw, path, mistakes)
    found: list[Mistake] = []
    value = _read(_meant(others, raw), raw, path, rule, found)
    choice = "".join(f' or "{word}"' for word in words)
    mistakes.extend(dataclasses.replace(m, rule=m.rule + choice) for m in found)
    return value


def _meant(kinds: list[Any], raw: object) -> Any:
    """Of several settings classes the one whose field that no class before it has is given."""
    chosen = kinds[0]
    if len(kinds) == 1 or not isinstance(raw, Mapping):
        return chosen
    known = {f.key for f in fields(chosen)}
    for kind in kinds[1:]:
        keys = {f.key for f in fields(kind)}
        chosen = kind if any(key in raw for key in keys - known) else chosen
        known |= keys
    return chosen


def _read_choice(words: tuple[Any, ...], raw: object, path: str, mistakes: list[Mistake]) -> Any:
    if isinstance(raw, str) and raw in words:
        return raw
    near = close_word(raw, words)
    rule = f"must be one of {', '.join(words)}" if len(words) > 1 else f"must be {words[0]}"
    mistakes.append(Mistake(path, show(raw), rule, f'did you mean "{near}"?' if near else ""))
    return UNREADABLE


def _read_list(
    kind: Any, raw: object, path: str, rule: Rule, mistakes: list[Mistake]
) -> tuple[Any, ...]:
    if not isinstance(raw, list | tuple):
        mistakes.append(Mistake(path, show(raw), "must be a list"))
        return ()
    if len(raw) < rule.min_items:
        needed = f"needs at least {rule.min_items} item{'s' if rule.min_items > 1 else ''}"
        mistakes.append(Mistake(path, show(raw), needed, rule.way_out))
        return ()
    if rule.max_items and len(raw) > rule.max_items:
        mistakes.append(Mistake(path, show(raw), f"takes at most {rule.max_items} items"))
        return ()
    item_rule = dataclasses.replace(rule, min_items=0, max_items=0)
    return tuple(
        _read_item(kind, item, f"{path}[{index}]", item_rule, mistakes)
        for index, item in enumerate(raw)
    )


def _read_item(kind: Any, raw: object, path: str, rule: Rule, mistakes: list[Mistake]) -> Any:
    value = _read(kind, raw, path, rule, mistakes)
    return _stand_in(kind) if value is UNREADABLE else value


def _read_mapping(
    kind: Any, raw: object, path: str, rule: Rule, mistakes: list[Mistake]
) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        mistakes.append(Mistake(path, show(raw), "must be an object"))
        return types.MappingProxyType({})
    if rule.max_items and len(raw) > rule.max_items:
        fault = f"takes at most {rule.max_items} entries, has {len(raw)}"
        mistakes.append(Mistake(path, "", fault))
        return types.MappingProxyType({})
    values = {}
    for key, item in raw.items():
        where = key_place(path, key)
        read_scalar(str, key, where, Rule(help=""), mistakes)
        values[str(key)] = _read_item(kind, item, where, rule, mistakes)
    return types.MappingProxyType(values)
