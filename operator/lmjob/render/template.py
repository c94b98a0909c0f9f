"""Templates: one rendering pass, every value as JSON, and a proof that no value became structure.

A template is JSON with `{{ name }}` for values and loops over given lists. It is JSON and not YAML
because the operator renders thousands of pods, and reading YAML would take most of that time. Every
value passes `_as_json` (jinja2's `finalize`), so a template cannot forget to escape; no text of a
user is ever compiled as a template.

The proof: the same template is rendered with a neutral mark in place of each value. That skeleton
says which value belongs where; filled with the values, it must equal the result.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2

Values = Mapping[str, Any]
"""What a template is given. name -> a value (anything that JSON can hold, put in as one piece), or
name -> a list for a loop, of such values or of tuples of them."""

_Layout = tuple[tuple[str, tuple[int, ...] | None], ...]
"""What of the values decides the structure of the result: names, and of lists the lengths of their
elements (0 for one that is no tuple)."""


class ShapeError(Exception):
    """A value changed the structure of an object: a fault of a template; nothing may be sent."""


def render(name: str, values: Values) -> dict[str, Any]:
    """The object that template `name` makes of `values`, without the fields that are null.

    ShapeError if it differs from a neutral object by more than the values in their places.
    """
    found = _parse(name, values)
    if found != _filled(_skeleton(name, _layout(values)), dict(_marked(values))):
        raise ShapeError(f"{name}: a value changed the structure of the object")
    pruned: dict[str, Any] = _without_nulls(found)
    return pruned


def _parse(name: str, values: Values) -> Any:
    text = _environment().get_template(name).render(values)
    try:
        return json.loads(text)
    except ValueError as fault:
        raise ShapeError(f"{name}: does not render to JSON: {fault}") from fault


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lmjob.render"),
        undefined=jinja2.StrictUndefined,
        finalize=_as_json,
        autoescape=False,
        auto_reload=False,
    )
    environment.globals.clear()  # `namespace` is a name of ours, and a template needs no functions
    return environment


def _as_json(value: Any) -> str:
    """The one filter. ASCII only: no character of a value can end its text."""
    if isinstance(value, jinja2.Undefined):
        return str(value)  # raises UndefinedError with the name
    return json.dumps(value, allow_nan=False)


@functools.lru_cache(maxsize=256)
def _skeleton(name: str, layout: _Layout) -> Any:
    """The object with a mark in place of each value."""
    return _parse(name, {key: _neutral(key, lengths) for key, lengths in layout})


def _layout(values: Values) -> _Layout:
    return tuple((key, _lengths(value)) for key, value in values.items())


def _lengths(value: Any) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    return tuple(len(item) if isinstance(item, tuple) else 0 for item in value)


def _neutral(key: str, lengths: tuple[int, ...] | None) -> Any:
    if lengths is None:
        return _mark(key)
    return [
        tuple(_mark(key, row, column) for column in range(length)) if length else _mark(key, row)
        for row, length in enumerate(lengths)
    ]


def _marked(values: Values) -> Iterator[tuple[str, Any]]:
    """Each value with the mark that stands for it in a skeleton."""
    for key, value in values.items():
        if not isinstance(value, list):
            yield _mark(key), value
            continue
        for row, item in enumerate(value):
            if isinstance(item, tuple):
                yield from ((_mark(key, row, column), cell) for column, cell in enumerate(item))
            else:
                yield _mark(key, row), item


def _mark(*place: object) -> str:
    return "\ue000" + "/".join(map(str, place))


def _filled(skeleton: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(skeleton, dict):
        pairs = skeleton.items()
        return {values.get(key, key): _filled(item, values) for key, item in pairs}
    if isinstance(skeleton, list):
        return [_filled(item, values) for item in skeleton]
    return values.get(skeleton, skeleton) if isinstance(skeleton, str) else skeleton


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
