"""Which files of an output folder are copied to a store: of a run those with certain names, of a
program of the user's own all but the few that are ours.

Called by the stage `evaluate`, and by `launch.owner`, which looks at the names before the program
starts, too.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from lmtrainer.config.mistakes import show
from lmtrainer.contract.output import RUN_FILE, RUNNER_FOLDER
from lmtrainer.durable import LEFTOVER, MANIFEST_FILE
from lmtrainer.faults import UserError
from lmtrainer.output.identity import LOCK_FILE, RECORDS
from lmtrainer.s3 import Folder

_OURS = frozenset({RUN_FILE, LOCK_FILE, RECORDS, RUNNER_FOLDER, "lost+found"})


def results_in(source: Path, names: Collection[str]) -> dict[str, Path]:
    """The files below a folder that have one of the names, or lie in a folder of that name."""
    found = {}
    for name in sorted(names):
        place = source / name
        paths = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in paths:
            parts = path.relative_to(source).parts
            if path.is_file() and not any(part.startswith(LEFTOVER) for part in parts):
                found["/".join(parts)] = path
    return found


def everything_in(source: Path, folder: Folder) -> tuple[dict[str, Path], list[str]]:
    """Each file by its name in the store, and the names of what is no file: other links, pipes. A
    link to a file of the folder is that file; an empty folder is nothing there.

    UserError, at once for all of them, for what has a name that it cannot have in the store.
    """
    root = source.resolve()
    files: dict[str, Path] = {}
    left = []
    for path in _paths(root):
        name = path.relative_to(root).as_posix()
        real = Path(os.path.realpath(path))  # one that leads round to itself is no error
        if real.is_file() and real.is_relative_to(root):
            files[name] = real
        else:
            left.append(name)
    mistakes = [*_taken(files), *(found for name in files for found in folder.mistakes(name))]
    if mistakes:
        raise UserError(f"{folder.field}: {'; '.join(mistakes)}; give another name to each of them")
    return files, left


def _paths(root: Path) -> Iterator[Path]:
    """Whatever is no plain folder, in order. Links to folders are not followed. OSError for a
    folder that cannot be read: without it the copy would not be whole."""
    for place, folders, names in os.walk(root, onerror=_raise):
        here = Path(place)
        if here == root:
            folders[:], names[:] = _theirs(folders), _theirs(names)
        folders.sort()
        links = [name for name in folders if (here / name).is_symlink()]
        yield from (here / name for name in sorted([*names, *links]))


def _raise(fault: OSError) -> None:
    raise fault


def _theirs(names: list[str]) -> list[str]:
    return [name for name in names if name not in _OURS and not name.startswith(LEFTOVER)]


def _taken(files: dict[str, Path]) -> Iterator[str]:
    if MANIFEST_FILE in files:
        yield f"{show(MANIFEST_FILE)} is the name of what seals the copy"
