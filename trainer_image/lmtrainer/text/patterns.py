"""Names with `*`, `?`, `[...]` and `**`: which files and folders they match, always in one order.

Called by `text.sources` and `text.remote`. Names that begin with a dot are matched only where the
dot is written out.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def matches(start: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Paths below `start` that match the parts of a pattern, sorted at each level. `**` is any
    number of folders; it follows no link to a folder, so that no circle is walked."""
    if not parts:
        yield start
        return
    head, *rest = parts
    if head != "**":
        for name in _named(start, head):
            yield from matches(start / name, rest)
        return
    yield from matches(start, rest or ["*"])
    for below in (start / name for name in names_in(start)):
        if below.is_dir() and not below.is_symlink():
            yield from matches(below, parts)


def _named(folder: Path, part: str) -> list[str]:
    """Names in a folder that match one part of a pattern."""
    if not is_pattern(part):
        return [part] if os.path.lexists(folder / part) else []
    names = names_in(folder, hidden=part.startswith("."))
    return [name for name in names if fnmatch.fnmatchcase(name, part)]


def is_pattern(part: str) -> bool:
    return bool(set(part) & set("*?["))


def names_in(folder: Path, *, hidden: bool = False) -> list[str]:
    """Sorted names in a folder; none if it is no folder."""
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir())
    return sorted(name for name in names if hidden or not name.startswith("."))
