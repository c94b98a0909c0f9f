"""The kinds of values that flags have, and how each is read from a word or from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

Kind = Literal["switch", "int", "float", "text", "list", "value"]
"""value: whatever a configuration file may hold there."""

_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def _switch(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    word = str(raw).lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError(word)
    return word in _TRUE


def _whole(raw: Any) -> int:
    """Also 1e4 and 10000.0, as configuration files have them; never a truth value."""
    if isinstance(raw, bool) or float(raw) != int(float(raw)):
        raise ValueError(raw)
    return int(float(raw)) if not str(raw).lstrip("+-").isdigit() else int(raw)


def _number(raw: Any) -> float:
    if isinstance(raw, bool):
        raise ValueError(raw)
    return float(raw)


def _list(raw: Any) -> tuple[str, ...]:
    return (str(raw),) if isinstance(raw, str) else tuple(str(item) for item in raw)


READERS: Mapping[Kind, Callable[[Any], Any]] = {
    "switch": _switch,
    "int": _whole,
    "float": _number,
    "text": str,
    "list": _list,
    "value": lambda raw: raw,
}
WORDS: Mapping[Kind, str] = {
    "switch": "true or false",
    "int": "a whole number",
    "float": "a number",
    "text": "a text",
    "list": "a list of texts",
    "value": "any value",
}
