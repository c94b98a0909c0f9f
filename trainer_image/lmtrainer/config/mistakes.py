"""A mistake in a document, and how a message shows values and places."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_SHOWN = 60
"""Longest value that a message repeats, in characters."""

LONGEST_GUESSED = 60
"""A longer unknown word is no slip of the pen: nothing like it is looked for."""

UNKNOWN_FIELD = "unknown field"

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,59}")


@dataclass(frozen=True)
class Mistake:
    """One mistake of a document: which field, what stands there, which rule, and the way out."""

    field: str
    value: str
    rule: str
    way_out: str = ""
    about: tuple[str, ...] = ()
    """Other fields that the rule compares: if one of them is wrong itself, this is not said. Of an
    unknown field, the field that was meant."""

    def __str__(self) -> str:
        shown = f" (got {self.value})" if self.value else ""
        way_out = f"; {self.way_out}" if self.way_out else ""
        return f"{self.field}: {self.rule}{shown}{way_out}"

    @property
    def places(self) -> tuple[str, ...]:
        """Everything that the rule looks at."""
        return (self.field, *self.about)

    @property
    def spoiled(self) -> tuple[str, ...]:
        """Fields whose values cannot be relied on any more."""
        return self.places if self.rule == UNKNOWN_FIELD else (self.field,)

    def under(self, path: str) -> Mistake:
        """The same mistake seen from the object that holds this one at `path`."""
        about = tuple(join(path, place) for place in self.about)
        return dataclasses.replace(self, field=join(path, self.field), about=about)


class MistakesError(ValueError):
    """A document that cannot be used, with all its mistakes."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def join(path: str, name: str) -> str:
    if not path or not name:
        return path or name
    return f"{path}{name}" if name.startswith("[") else f"{path}.{name}"


def key_place(path: str, key: object) -> str:
    """The place of a key that a user chose: dotted if it is a plain word, else in brackets."""
    if isinstance(key, str) and _PLAIN_KEY.fullmatch(key):
        return join(path, key)
    return f"{path}[{show(key)}]"


def overlap(one: str, other: str) -> bool:
    """Is one of two places the other one, or inside it?"""
    short, long = sorted((one, other), key=len)
    inside = long[len(short) : len(short) + 1] in ("", ".", "[")
    return not short or (long.startswith(short) and inside)


def close_word(word: object, known: Iterable[str]) -> str:
    """The known word that was probably meant, or ""."""
    if not isinstance(word, str) or len(word) > LONGEST_GUESSED:
        return ""
    lowered = {other.lower(): other for other in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else ""


def meant(word: object, known: Iterable[str], otherwise: str | None = None) -> str:
    """The way out of an unknown word: the known one that was probably meant, else `otherwise`, or
    all that are known."""
    words = list(known)
    near = close_word(word, words)
    if near:
        return f"did you mean {near}?"
    return f"known: {', '.join(words)}" if otherwise is None else otherwise


def show(value: object) -> str:
    """A value as a message repeats it: as JSON would write it, shortened, one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, int) and abs(value) >= 10**MAX_SHOWN:
        return f"an integer of {value.bit_length()} bits"
    text = _quoted(value) if isinstance(value, str) else _one_line(repr(value))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


def _quoted(text: str) -> str:
    return _one_line(json.dumps(text[: MAX_SHOWN + 1], ensure_ascii=False))


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
