"""Names in the folder of the checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lmtrainer.contract.output import CHECKPOINTS as FOLDER
from lmtrainer.contract.reports import Position

__all__ = ["FOLDER", "candidates", "epoch_name", "folder_name", "position_of", "set_aside"]

_NAME = re.compile(
    r"(?P<index>0|[1-9]\d{0,5})-(?P<phase>[a-z0-9][-a-z0-9]*)-step-(?P<step>\d{8}|[1-9]\d{8,11})",
    re.ASCII,
)
_SET_ASIDE = re.compile(r"\.bad-.+-(?P<number>\d{1,9})")


def folder_name(position: Position) -> str:
    """`0-short-step-00000500`. ValueError if the position has no such name."""
    name = f"{position.phase_index}-{position.phase}-step-{position.step:08d}"
    if position_of(name) != position:
        raise ValueError(f"no checkpoint can be named after {position}")
    return name


def position_of(name: str) -> Position | None:
    """The position that a folder claims by its name; None if it is no checkpoint's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return Position(phase_index=int(match["index"]), step=int(match["step"]), phase=match["phase"])


def epoch_name(epoch: int, step: int) -> str:
    """The name that Lightning gives a checkpoint; the manifest keeps it beside ours."""
    return f"epoch={epoch}-step={step}"


def candidates(root: Path) -> list[Path]:
    """Everything with a checkpoint's name, newest position first; nothing is verified."""
    if not root.is_dir():
        return []
    named = ((position_of(entry.name), entry) for entry in root.iterdir())
    found = [(position, entry) for position, entry in named if position is not None]
    return [entry for _, entry in sorted(found, reverse=True)]


def set_aside(root: Path) -> list[tuple[int, Path]]:
    """What was set aside as damaged, oldest first, with its number."""
    return sorted(_numbered(root)) if root.is_dir() else []


def _numbered(root: Path) -> Iterator[tuple[int, Path]]:
    for entry in root.iterdir():
        match = _SET_ASIDE.fullmatch(entry.name)
        if match is not None:
            yield int(match["number"]), entry
