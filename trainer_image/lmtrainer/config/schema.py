"""How settings are declared and printed: frozen dataclasses that know their own rules.

The configuration of the trainer and the specification of a job are both written with it, and the
schema of the custom resource is generated from the same declarations. `reading.parse` reads them.

A class declares its fields as keyword-only dataclass fields with types out of: bool, int, float,
str, Literal[...], another such class, two of them (`X | Y`, told apart by a field that only the
second has), `X | None`, `int | Literal["auto"]`, tuple[X, ...], Mapping[str, X], or a subclass of
str with a method `from_document(raw)` that returns itself or raises ValueError(rule, way out).
Names are snake_case in Python and camelCase in documents (`from_` is `from`).

Rules between fields go into a method `mistakes(self) -> Iterable[Mistake]`, whose field names are
relative to the object; a rule that compares fields names the others in `Mistake.about`. The class
attribute `refused` maps names that people try, and must not, to the reason.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from lmtrainer.config.mistakes import join


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a value must satisfy beyond its type; also what the generated schema says of it."""

    help: str
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None
    pattern: str | None = None
    pattern_help: str = ""
    min_items: int = 0
    max_items: int = 0
    """Most items of a list or entries of an object; 0 for no bound."""
    way_out: str = ""


def setting(default: Any, help: str, **rules: Any) -> Any:
    """A field that may be left out. A callable default (`tuple`, a class) is called each time."""
    metadata = {"rule": Rule(help=help, **rules)}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def required(help: str, **rules: Any) -> Any:
    """A field that must be given."""
    return dataclasses.field(metadata={"rule": Rule(help=help, **rules)})


def camel(name: str) -> str:
    """`num_steps` -> `numSteps`, the spelling of documents."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def document(value: object) -> Any:
    """The plain mapping that `parse` reads back as an equal object; None is left out."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, _SCALARS):
        return value
    keys = _keys(cast(Hashable, kind))
    if keys is not None:
        pairs = ((key, getattr(value, name)) for name, key in keys)
        return {key: document(item) for key, item in pairs if item is not None}
    if isinstance(value, Mapping):
        return {str(name): document(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [document(item) for item in value]
    return value


_SCALARS = (str, int, float)
_PLAIN = frozenset((type(None), bool, *_SCALARS))


@functools.cache
def _keys(cls: type) -> tuple[tuple[str, str], ...] | None:
    """(name, spelling in documents) of the fields of a dataclass; None for any other type."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple((f.name, camel(f.name)) for f in dataclasses.fields(cls))


def differences(ours: object, theirs: object, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each place where two documents differ, as (field, ours, theirs); a missing field is None."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for name in sorted({*ours, *theirs}):
            yield from differences(ours.get(name), theirs.get(name), join(path, name))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(mine, other, f"{path}[{index}]")
    elif ours != theirs:
        yield path, ours, theirs


@dataclass(frozen=True)
class Field:
    """A declared field: its spelling in documents, type and rule, and whether it must be given."""

    name: str
    key: str
    kind: Any
    rule: Rule
    must: bool


@functools.cache
def fields(cls: type) -> tuple[Field, ...]:
    """The declared fields of a settings class, in order."""
    kinds = typing.get_type_hints(cls)
    found = []
    for f in dataclasses.fields(cls):
        must = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        rule = f.metadata.get("rule") or Rule(help="")
        found.append(Field(f.name, camel(f.name), kinds[f.name], rule, must))
    return tuple(found)


def refusals(cls: type) -> Mapping[str, str]:
    """Names that `cls` refuses with a reason of their own -> the reason."""
    return cast(Mapping[str, str], getattr(cls, "refused", {}))
