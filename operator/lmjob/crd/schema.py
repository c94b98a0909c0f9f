"""Settings classes -> the structural OpenAPI schema of the API server. No defaults: those stay with
the classes, or a job stored yesterday would keep yesterday's. They are told in the descriptions.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from lmjob.api.spec.quantities import Quantity
from lmjob.crd.cel import Cel, literal
from lmjob.crd.patterns import re2
from lmjob.crd.rules import PLAIN_TEXT, QUANTITY, entry_rules, list_key, object_rules, value_rules
from lmtrainer.config.scalars import MAX_STRING
from lmtrainer.config.schema import Field, Rule, fields

Schema = dict[str, Any]

_MAX_AMOUNT = 64
"""No amount is written longer."""

MAX_ITEMS = 64
"""Most items of a list or an object whose field does not say how many it takes."""


def object_schema(cls: type) -> Schema:
    """The schema of a settings class, with the rules between its fields."""
    schema: Schema = {"type": "object", "properties": {}}
    for f in fields(cls):
        schema["properties"][f.key] = _field(cls, f)
    must = [f.key for f in fields(cls) if f.must]
    if must:
        schema["required"] = must
    return validated(schema, object_rules(cls))


def _field(cls: type, f: Field) -> Schema:
    if not f.rule.help:
        raise ValueError(f"{cls.__name__}.{f.name} has no description")
    value = _value(f.kind, f.rule, value_rules(cls, f.key))
    return {"description": _description(cls, f), **validated(value, entry_rules(cls, f.key))}


def _description(cls: type, f: Field) -> str:
    """What the field is, and what it means to leave it out."""
    help = f"{f.rule.help}."
    if not help.split()[0].endswith(":"):  # what stands there is a value
        help = help[0].upper() + help[1:]
    default = next(d.default for d in dataclasses.fields(cls) if d.name == f.name)
    if default is dataclasses.MISSING or default is None or default == "":
        return help
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"{help} Left out: {shown}."


def _value(kind: Any, rule: Rule, rules: tuple[Cel, ...] = ()) -> Schema:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _union([k for k in inner if k is not type(None)], rule, rules)
    if origin is Literal:
        return {"type": "string", "enum": list(inner)}
    if origin is tuple:
        return _list(inner[0], rule, rules)
    if origin is not None and issubclass(origin, Mapping):
        most = rule.max_items or MAX_ITEMS
        item = _value(inner[1], dataclasses.replace(rule, max_items=0), rules)
        return {"type": "object", "maxProperties": most, "additionalProperties": item}
    if dataclasses.is_dataclass(kind):
        return object_schema(typing.cast(type, kind))
    if kind is Quantity:
        return validated({**_INT_OR_STRING, "maxLength": _MAX_AMOUNT}, (*QUANTITY, *rules))
    return _text(rule, rules) if kind is str else _SCALARS[kind](rule)


_INT_OR_STRING: Schema = {
    "x-kubernetes-int-or-string": True,
    "maxLength": MAX_STRING,
}


def _union(kinds: list[Any], rule: Rule, rules: tuple[Cel, ...]) -> Schema:
    """One type, or `int | Literal[word]`."""
    if len(kinds) == 1:
        return _value(kinds[0], rule, rules)
    number, words = kinds
    (word,) = typing.get_args(words)
    if number is not int:
        raise ValueError(f"{kinds} is no union that the API server reads")
    tests = [Cel(f'type(self) == int || self == "{word}"', f'must be an integer or "{word}"')]
    for sign, bound in ((">=", rule.minimum), ("<=", rule.maximum)):
        if bound is not None:
            test = f"type(self) == string || int(self) {sign} {bound:.0f}"
            tests.append(Cel(test, f'must be {sign} {bound:.0f} or "{word}"'))
    return validated(_INT_OR_STRING, (*tests, *rules))


def _list(kind: Any, rule: Rule, rules: tuple[Cel, ...]) -> Schema:
    item_rule = dataclasses.replace(rule, min_items=0, max_items=0)
    schema: Schema = {"type": "array", "maxItems": rule.max_items or MAX_ITEMS}
    if rule.min_items:
        schema["minItems"] = rule.min_items
    key = list_key(kind)
    if key:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    return {**schema, "items": _value(kind, item_rule, rules)}


def _text(rule: Rule, rules: tuple[Cel, ...]) -> Schema:
    """A rule with words of its own is told in these words, so it is CEL."""
    if rule.pattern is None:
        return validated({"type": "string", "maxLength": MAX_STRING}, (PLAIN_TEXT, *rules))
    pattern = re2(rule.pattern)
    message = rule.pattern_help or f"must match {pattern.text}"
    message += f"; {rule.way_out}" if rule.way_out else ""
    matches = Cel(f"self.matches({literal(pattern.text)})", message)
    schema: Schema = {"type": "string", "maxLength": pattern.max_length or MAX_STRING}
    return validated(schema, (matches, *rules))


_EXACT = 2**53
"""Bounds are doubles; a larger one is that of the format, 64 bits."""


def _bounds(rule: Rule) -> Schema:
    low = rule.minimum if rule.minimum is not None else rule.above
    high = rule.maximum if rule.maximum is not None else rule.below
    if high is not None and high > _EXACT:
        high = None
    bounds: Schema = {}
    if low is not None:
        bounds["minimum"] = low
    if rule.minimum is None and low is not None:
        bounds["exclusiveMinimum"] = True
    if high is not None:
        bounds["maximum"] = high
    if rule.maximum is None and high is not None:
        bounds["exclusiveMaximum"] = True
    return bounds


_SCALARS: Mapping[Any, typing.Callable[[Rule], Schema]] = types.MappingProxyType(
    {
        bool: lambda rule: {"type": "boolean"},
        int: lambda rule: {"type": "integer", "format": "int64", **_bounds(rule)},
        float: lambda rule: {"type": "number", **_bounds(rule)},
    }
)


def validated(schema: Schema, rules: tuple[Cel, ...]) -> Schema:
    """A schema with rules in CEL."""
    if not rules:
        return schema
    return {**schema, "x-kubernetes-validations": [rule.document() for rule in rules]}
