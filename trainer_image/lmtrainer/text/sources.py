"""From a location to files and folders: the one place that knows where claims and samples lie.

Called by the preparation of data and by every stage that reads or writes a folder. Nothing outside
a claim's folder is ever handed out, whatever symbolic links lie in it.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.config.mistakes import show
from lmtrainer.config.sources import Location, parse_location
from lmtrainer.contract.output import MODEL_FOLDER, RUN_FILE
from lmtrainer.faults import UserError
from lmtrainer.text import hub, remote
from lmtrainer.text.files import TextFile, is_saved
from lmtrainer.text.patterns import is_pattern, matches, names_in

STORES = ("s3",)
"""Schemes whose files are read where they are."""

SPLITS_FILE = "dataset_dict.json"
"""What the `datasets` library writes beside the folders of several splits."""

SHOWN_ENTRIES = 3
"""How many entries of a folder a message names."""


@dataclass(frozen=True)
class _Place:
    """A location found on this machine: below `root`, which nothing may leave if `closed`."""

    field: str
    text: str
    name: str
    root: Path
    parts: tuple[str, ...]
    closed: bool
    linked: bool = False
    """Its files are links to others that lack their endings: a cache of the Hub."""


def expand(
    locations: Sequence[str], claims: Mapping[str, str], field: str = "data.train"
) -> tuple[TextFile, ...]:
    """The files that the locations of a list name, in their order; a file is taken once, however
    many locations name it. Raises UserError as `files_of` does."""
    found: dict[TextFile, None] = {}
    for index, text in enumerate(locations):
        found.update(dict.fromkeys(files_of(text, claims, f"{field}[{index}]")))
    return tuple(found)


def files_of(text: str, claims: Mapping[str, str], field: str) -> Sequence[TextFile]:
    """The files that a location names, those of a pattern sorted by path.

    A pattern may hold `*`, `?`, `[...]` and `**`; a folder, written without any of these, means
    every file in it, at any depth, unless the `datasets` library saved it: that is one file. Names
    that begin with a dot are left out unless written out. Raises UserError, which names `field`, if
    there is no file at all, an unknown claim or sample, or a file outside its claim.
    """
    location = _parsed(text, field)
    if location.scheme in STORES:
        return remote.found(str(location), field)
    place = _place(location, text, claims, field)
    files = _files(place)
    if not files:
        raise UserError(_no_match(place))
    return files


def folder(location: str, claims: Mapping[str, str], field: str = "folder") -> Path:
    """The one folder that a location names, whether it is there yet or not, without links in it;
    one in a store or on the Hub is copied to this machine. Raises UserError, which names `field`,
    for an unknown claim, a folder outside its claim, or one that cannot be had."""
    parsed = _parsed(location, field)
    if parsed.scheme in STORES:
        return remote.copied(str(parsed), field)
    if parsed.scheme == "hf":
        return hub.plain_folder(hub.repository(parsed, field), field)
    place = _place(parsed, location, claims, field)
    return _inside(place, place.root.joinpath(*place.parts))


def saved(location: str, claims: Mapping[str, str], field: str) -> Path:
    """The folder of a saved model or tokenizer: of the output folder of a run, that of its model.
    Raises UserError as `folder` does."""
    found = folder(location, claims, field)
    inside = found / MODEL_FOLDER
    return inside if (found / RUN_FILE).is_file() and inside.is_dir() else found


def _parsed(text: str, field: str) -> Location:
    try:
        return parse_location(text)
    except ValueError as fault:
        raise UserError(f"{field}: {show(text)} {fault}") from None


def _place(location: Location, text: str, claims: Mapping[str, str], field: str) -> _Place:
    if location.scheme == "sample":
        return _sample(location, field)
    if location.scheme == "hf":
        wanted = hub.repository(location, field)
        parts = Path(wanted.path).parts
        root = hub.snapshot(wanted, field)
        name = f"{wanted.kind} {wanted.name}"
        return _Place(field, text, name, root, parts, closed=False, linked=True)
    path = Path(location.path)
    if location.scheme == "file":
        root = Path(path.anchor or ".").resolve()
        parts = path.parts[1:] if path.anchor else path.parts
        return _Place(field, text, f'folder "{root}"', root, parts, closed=False)
    if location.authority not in claims:
        raise UserError(
            f'{field}: {text}: volume "{location.authority}" has no folder here; '
            f"give one, such as --mount {location.authority}=./folder"
        )
    root = Path(claims[location.authority]).resolve()
    name = f'volume "{location.authority}"'
    return _Place(field, text, name, root, path.parts, closed=True)


def _sample(location: Location, field: str) -> _Place:
    root = Path(str(importlib.resources.files(__package__).joinpath("samples"))).resolve()
    known = sorted(path.stem for path in root.glob("*.txt"))
    if location.authority not in known or location.path:
        raise UserError(f"{field}: {location} is no sample; known: {', '.join(known)}")
    name = f"{location.authority}.txt"
    return _Place(field, str(location), "the samples", root, (name,), closed=True)


def _files(place: _Place) -> list[Path]:
    """Files that a location names, with links followed. Folders that a pattern matches are left
    out: who wants what lies deeper writes `**`."""
    found = []
    whole_folders = not any(map(is_pattern, place.parts))
    for path in matches(place.root, place.parts):
        inside = _inside(place, path)
        if whole_folders and is_saved(inside):
            return [inside]
        if whole_folders and (inside / SPLITS_FILE).is_file():
            raise UserError(_several_splits(place, inside))
        if whole_folders and inside.is_dir():
            found += [_inside(place, below) for below in matches(inside, ("**", "*"))]
        else:
            found.append(inside)
    return [path for path in found if path.is_file()]


def _inside(place: _Place, path: Path) -> Path:
    """The path without links in it; UserError if they lead out of the claim."""
    if place.linked:
        return path
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError):
        raise UserError(f"{place.field}: {place.text}: {path} is a link to itself") from None
    if place.closed and not resolved.is_relative_to(place.root):
        raise UserError(
            f'{place.field}: {place.text} resolves to "{resolved}", outside {place.name}; '
            "put the files themselves into the volume"
        )
    return resolved


def _several_splits(place: _Place, folder: Path) -> str:
    names = ", ".join(name for name in names_in(folder) if is_saved(folder / name))
    example = f"{place.text}/train"
    return f"{place.field}: {place.text} holds the splits {names}; name one, such as {example}"


def _no_match(place: _Place) -> str:
    """What was looked at in vain: the deepest folder that is written out and is there."""
    seen = place.root
    for part in place.parts:
        if is_pattern(part) or not (seen / part).is_dir():
            break
        seen = seen / part
    names = names_in(seen, hidden=True)
    first = ", ".join(_shown(names[:SHOWN_ENTRIES]))
    below = "" if seen == place.root else f' in "{seen.relative_to(place.root)}"'
    entries = f"{len(names)} entries seen{below}" + (f", first: {first}" if names else "")
    return f"{place.field}: {place.text} matches 0 files in {place.name} ({entries})"


def _shown(names: Iterable[str]) -> Iterator[str]:
    return (show(name)[1:-1] for name in names)
