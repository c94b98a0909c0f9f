"""Folders that appear under their name only when they are whole."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from lmtrainer.durable.files import LEFTOVER, sync_file, sync_folder


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, durably. NotADirectoryError if something else, be it a
    link to a folder, has its name: results must not leave the place that was asked for."""
    if folder.is_symlink():
        raise NotADirectoryError(f"{folder} is a symbolic link; put a folder in its place")
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


@contextlib.contextmanager
def building(
    final: Path,
    *,
    tag: str = "",
    before_rename: Callable[[], None] | None = None,
    first_wins: bool = False,
) -> Iterator[Path]:
    """Yield an empty folder beside `final`; when the block ends well, it gets that name.

    Until then a crash leaves nothing but a leftover. `before_rename` is called when all is durable,
    for a last fence. If it or the block raises, the folder is removed. What had the name before is
    replaced; a crash in between leaves none of the two, so this is for what can be made again. With
    `first_wins` it stays, and ours is removed: for what many may make at once, all of them alike.
    """
    beside = final.with_name(f"{LEFTOVER}{final.name}-{tag or secrets.token_hex(6)}")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        yield beside
        _sync_tree(beside)
        if before_rename is not None:
            before_rename()
        if not first_wins:
            discard(final)
        _rename(beside, final, first_wins=first_wins)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_folder(final.parent)


def _rename(beside: Path, final: Path, *, first_wins: bool) -> None:
    try:
        beside.rename(final)
    except OSError as fault:
        if not first_wins or fault.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        remove(beside)


def discard(folder: Path) -> None:
    """Remove a folder so that no half of it is ever seen under its name."""
    if not folder.is_symlink() and not folder.exists():
        return
    doomed = folder.with_name(f"{LEFTOVER}old-{folder.name}-{secrets.token_hex(6)}")
    folder.rename(doomed)
    remove(doomed)


def remove_leftovers(folder: Path) -> tuple[str, ...]:
    """Remove what dead writers left unfinished; only the owner of the folder may call this.
    Returns the names."""
    if not folder.is_dir():
        return ()
    found = sorted(entry for entry in folder.iterdir() if entry.name.startswith(LEFTOVER))
    for entry in found:
        remove(entry)
    return tuple(entry.name for entry in found)


def remove(path: Path) -> None:
    """Remove a file, a link or a tree, as far as the disk lets us: what stays is tried again at
    the next start, and no reader looks at it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    for path, _, names in os.walk(folder):
        for name in names:
            sync_file(Path(path, name))
        sync_folder(Path(path))
