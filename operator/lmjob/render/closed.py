"""How a closed list is written: small checks that are put together to the shape of an object.

A check takes a value and its place, and raises NotAllowedError. Used by `lmjob.render.allowed` and
`podfields`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

Check = Callable[[Any, str], None]

_NOTHING: Mapping[str, Check] = MappingProxyType({})


class NotAllowedError(Exception):
    """An object has a field, or a value, that no object of a job may have; it is not sent."""

    def __init__(self, place: str, value: Any, rule: str) -> None:
        shown = json.dumps(value, default=str)
        super().__init__(f"{place}: {shown if len(shown) < 80 else shown[:77] + '...'} {rule}")
        self.place = place


def text(value: Any, place: str) -> None:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise NotAllowedError(place, value, "must be a text")


def any_text(value: Any, place: str) -> None:
    if not isinstance(value, str):
        raise NotAllowedError(place, value, "must be a text")


def number(value: Any, place: str) -> None:
    """An integer from 0 on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise NotAllowedError(place, value, "must be an integer from 0 on")


def flag(value: Any, place: str) -> None:
    if not isinstance(value, bool):
        raise NotAllowedError(place, value, "must be true or false")


def only(*values: Any) -> Check:
    """One of these values, of the very same type."""

    def check(value: Any, place: str) -> None:
        if not any(type(value) is type(right) and value == right for right in values):
            right = " or ".join(json.dumps(value) for value in values)
            raise NotAllowedError(place, value, f"must be {right}")

    return check


def where(right: Callable[[str], bool], rule: str) -> Check:
    """A text for which `right` holds."""

    def check(value: Any, place: str) -> None:
        any_text(value, place)
        if not right(value):
            raise NotAllowedError(place, value, rule)

    return check


def each(item: Check) -> Check:
    """A list of such items."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, list):
            raise NotAllowedError(place, value, "must be a list")
        for index, one in enumerate(value):
            item(one, f"{place}[{index}]")

    return check


def the_one(item: Check) -> Check:
    """A list of exactly one such item."""
    items = each(item)

    def check(value: Any, place: str) -> None:
        items(value, place)
        if len(value) != 1:
            raise NotAllowedError(place, value, "must have exactly one item")

    return check


def mapping(key: Check, item: Check) -> Check:
    """An object with names of a user's choice."""

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise NotAllowedError(place, value, "must be an object")
        for name, one in value.items():
            key(name, place)
            item(one, f"{place}.{name}")

    return check


def fields(
    must: Mapping[str, Check], may: Mapping[str, Check] = _NOTHING, one_of: Sequence[str] = ()
) -> Check:
    """An object with these fields and no others: all of `must`, any of `may`, of `one_of` (which
    `may` lists, too) exactly one."""
    known = {**may, **must}
    needed = frozenset(must)

    def check(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise NotAllowedError(place, value, "must be an object")
        if not needed <= value.keys():
            missing = ", ".join(sorted(needed - value.keys()))
            raise NotAllowedError(place, list(value), f"must have {missing}")
        for name, one in value.items():
            if name not in known:
                raise NotAllowedError(f"{place}.{name}", one, "is a field that is not allowed")
            known[name](one, f"{place}.{name}")
        if one_of and sum(name in value for name in one_of) != 1:
            raise NotAllowedError(place, list(value), f"must have one of {', '.join(one_of)}")

    return check


TEXTS = mapping(text, any_text)
"""An object of texts, such as labels."""
