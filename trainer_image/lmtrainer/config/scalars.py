"""Reads one plain value as a bool, int, float, str, or as a class that reads itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.schema import Rule

MAX_STRING = 4096
"""Longest string of a document, in characters: longer ones are mistakes or attacks."""

UNREADABLE = object()
"""In place of a value that a mistake was noted for."""

LARGEST = 2**63
"""Integers are those of Kubernetes: 64 bits with a sign."""

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that no string of a document may hold."""


def read_scalar(kind: Any, raw: object, path: str, rule: Rule, mistakes: list[Mistake]) -> Any:
    """`raw` as a `kind`; if it is none, a mistake is noted and UNREADABLE comes back."""
    if kind is Any:
        return raw
    fault = _form_fault(raw)
    if fault:
        mistakes.append(Mistake(path, show(raw), fault))
        return UNREADABLE
    if hasattr(kind, "from_document"):
        return _read_by_class(kind, raw, path, mistakes)
    fault = _KIND_FAULTS[kind](raw)
    if fault:
        mistakes.append(Mistake(path, _typed(raw), fault, _conversion(kind, raw)))
        return UNREADABLE
    value = kind(raw)
    fault = _pattern_fault(value, rule) if kind is str else _range_fault(value, rule)
    if fault:
        mistakes.append(Mistake(path, show(raw), fault, rule.way_out))
        return UNREADABLE
    return value


def _read_by_class(kind: Any, raw: object, path: str, mistakes: list[Mistake]) -> Any:
    try:
        return kind.from_document(raw)
    except ValueError as fault:
        rule, *way_out = map(str, fault.args)
        mistakes.append(Mistake(path, _typed(raw), rule, "; ".join(way_out)))
        return UNREADABLE


def _typed(raw: object) -> str:
    return f"string {show(raw)}" if isinstance(raw, str) else show(raw)


def _conversion(kind: type, raw: object) -> str:
    """The way out when a value is of another type than it looks."""
    if kind is str and isinstance(raw, bool | int | float):
        return "put it in quotes"
    if kind is bool or not isinstance(raw, str):
        return ""
    try:
        float(raw)
    except ValueError:
        return ""
    return "remove the quotes and spaces"


def _integer_fault(value: object) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    whole = whole or (isinstance(value, float) and value.is_integer())
    return _size_fault(value) if whole else "must be an integer"


def _number_fault(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    return "" if math.isfinite(value) else "must be a finite number"


def _size_fault(value: Any) -> str:
    return "" if -LARGEST <= value < LARGEST else "must fit in 64 bits"


_KIND_FAULTS: Mapping[Any, Callable[[object], str]] = {
    bool: lambda value: "" if isinstance(value, bool) else "must be true or false",
    int: _integer_fault,
    float: _number_fault,
    str: lambda value: "" if isinstance(value, str) else "must be a string",
}


def _range_fault(value: Any, rule: Rule) -> str:
    if rule.minimum is not None and value < rule.minimum:
        return f"must be >= {_plain(rule.minimum)}"
    if rule.above is not None and value <= rule.above:
        return f"must be > {_plain(rule.above)}"
    if rule.maximum is not None and value > rule.maximum:
        return f"must be <= {_plain(rule.maximum)}"
    if rule.below is not None and value >= rule.below:
        return f"must be < {_plain(rule.below)}"
    return ""


def _plain(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else f"{bound:g}"


def _form_fault(value: object) -> str:
    """What no field may hold, whatever its type."""
    if isinstance(value, str):
        return _text_fault(value)
    return _size_fault(value) if isinstance(value, int) else ""


def _text_fault(value: str) -> str:
    if len(value) > MAX_STRING:
        return f"must be at most {MAX_STRING} characters, has {len(value)}"
    control = CONTROL.search(value)
    if control:
        return (
            f"must not hold control characters; U+{ord(control.group()):04X} at {control.start()}"
        )
    return ""


def _pattern_fault(value: str, rule: Rule) -> str:
    if rule.pattern and not re.fullmatch(rule.pattern, value):
        return rule.pattern_help or f"must match {rule.pattern}"
    return ""
