"""Locations: `pvc://claim/path`, `s3://bucket/key`, `hf://owner/name`, `sample://name` and plain
paths. The one registry of schemes.

A location is data, never opened here. A pod or the local runner says in which folder each claim
lies (contract.environment); `lmtrainer.text.sources` turns a location into files.
"""

from __future__ import annotations

import posixpath
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
        "s3": Scheme("s3://BUCKET/KEY, in a store", r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", False),
        "hf": Scheme(
            "hf://OWNER/MODEL or hf://datasets/OWNER/NAME/FILES, read only",
            r"[A-Za-z0-9][-A-Za-z0-9_.]{0,95}",
            False,
        ),
        "sample": Scheme("sample://NAME, a text that ships with the trainer", r"[a-z0-9-]+", False),
        "file": Scheme("a plain path, for `lmjob run` only", r"", True),
    }
)

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<rest>.*)", re.DOTALL)
_ONE_SLASH = re.compile(r"(pvc|sample):")


@dataclass(frozen=True)
class Location:
    """A parsed location. `authority` is the claim, the bucket, the owner or the sample's name;
    `path` has no leading slash except for scheme "file", where it is the path as written."""

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
        if _ONE_SLASH.match(text):
            raise ValueError("lacks a slash; write pvc://CLAIM/PATH or sample://NAME")
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
            rule, _, way_out = str(fault).partition("; ")
            yield Mistake(where, show(text), rule, way_out)
            continue
        rule, way_out = _writing_fault(place) if writable else ("", "")
        if rule:
            yield Mistake(where, show(text), rule, way_out)


def _writing_fault(place: Location) -> tuple[str, str]:
    """Why nothing can be written there, and the way out; "" if it can."""
    if not SCHEMES[place.scheme].writable:
        return "cannot be written to", "give a pvc:// folder; output.copyTo copies results to s3://"
    if re.search(r"[*?\[]", place.path):
        return "must be one folder, not a pattern", "remove * ? ["
    if place.scheme == "pvc" and posixpath.normpath(place.path) == ".":
        return "is the whole claim", f"name a folder in it, such as {place}/my-model"
    if place.scheme == "file" and posixpath.normpath(place.path) in ("/", "//"):
        return "is the root of the file system", "name a folder, such as /data/results/my-model"
    return "", ""
