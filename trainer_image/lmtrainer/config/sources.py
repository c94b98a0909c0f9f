"""Locations: `pvc://claim/path`, `sample://name` and plain paths. The one registry of schemes.

A location is data, never opened here. A pod or the local runner says in which folder each claim
lies (contract.environment); `lmtrainer.text.sources` turns a location into files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lmtrainer.config.mistakes import Mistake, show


@dataclass(frozen=True)
class Scheme:
    """What a scheme can do. `authority` is what stands before the first slash."""

    help: str
    authority: str
    writable: bool


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "pvc": Scheme(
            "pvc://CLAIM/PATH, a folder or file in a volume claim",
            r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?",
            True,
        ),
        "sample": Scheme("sample://NAME, a text that ships with the trainer", r"[a-z0-9-]+", False),
        "file": Scheme("a plain path, for `lmjob run` only", r"", True),
    }
)

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True)
class Location:
    """A parsed location. `authority` is the claim or the sample's name; `path` has no leading slash
    except for scheme "file", where it is the path as written."""

    scheme: str
    authority: str
    path: str

    def __str__(self) -> str:
        if self.scheme == "file":
            return self.path
        return f"{self.scheme}://{self.authority}" + (f"/{self.path}" if self.path else "")


def parse_location(text: str) -> Location:
    """Read a location; ValueError says what is wrong with it and the way out."""
    match = _URI.fullmatch(text)
    if match is None:
        if not text.strip():
            raise ValueError("is empty; give a location such as pvc://corpus/wiki/*.txt")
        return Location("file", "", text)
    scheme = SCHEMES.get(match["scheme"])
    if scheme is None or match["scheme"] == "file":
        known = "; ".join(scheme.help for scheme in SCHEMES.values())
        raise ValueError(f"has no known scheme; known: {known}")
    authority, _, path = match["rest"].partition("/")
    if not re.fullmatch(scheme.authority, authority):
        raise ValueError(f"is not {scheme.help}")
    if ".." in path.split("/"):
        raise ValueError('must stay inside the volume; remove ".."')
    return Location(match["scheme"], authority, path.strip("/"))


def claims(texts: Iterable[str]) -> tuple[str, ...]:
    """Names of the volume claims that these locations name, sorted, each once."""
    found = (parse_location(text) for text in texts)
    return tuple(sorted({place.authority for place in found if place.scheme == "pvc"}))


def location_mistakes(
    field: str, texts: Iterable[str], *, writable: bool = False, single: bool = False
) -> Iterator[Mistake]:
    """Mistakes of a field that holds locations; `single` for a field that holds one, not a list."""
    for index, text in enumerate(texts):
        where = field if single or writable else f"{field}[{index}]"
        try:
            place = parse_location(text)
        except ValueError as fault:
            yield Mistake(where, show(text), str(fault))
            continue
        if writable and not SCHEMES[place.scheme].writable:
            yield Mistake(where, show(text), "cannot be written to", "give a pvc:// folder")
        if writable and re.search(r"[*?\[]", place.path):
            yield Mistake(where, show(text), "must be one folder, not a pattern", "remove * ? [")
