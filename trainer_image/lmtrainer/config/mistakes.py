"""A mistake in a document, and how a message shows values and places."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_SHOWN = 60
"""Longest value that a message repeats, in characters."""


@dataclass(frozen=True)
class Mistake:
    """One mistake of a document: which field, what stands there, which rule, and the way out."""

    field: str
    value: str
    rule: str
    way_out: str = ""

    def __str__(self) -> str:
        shown = f" (got {self.value})" if self.value else ""
        way_out = f"; {self.way_out}" if self.way_out else ""
        return f"{self.field}: {self.rule}{shown}{way_out}"

    def under(self, path: str) -> Mistake:
        """The same mistake seen from the object that holds this one at `path`."""
        return dataclasses.replace(self, field=join(path, self.field))


class MistakesError(ValueError):
    """A document that cannot be used, with all its mistakes."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def join(path: str, name: str) -> str:
    if not path or not name:
        return path or name
    return f"{path}{name}" if name.startswith("[") else f"{path}.{name}"


def show(value: object) -> str:
    """A value as a message repeats it: as JSON would write it, shortened, one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = repr(value) if not isinstance(value, str) else '"' + ascii(value)[1:-1] + '"'
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
