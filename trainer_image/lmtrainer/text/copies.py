"""Folders that were copied to this machine, each made once for all processes that want it.

Called by `text.remote` and `text.hub`. They lie in the user's own cache, and are named by what they
are copies of, so that none is ever stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path

from lmtrainer.durable import building, make_folder, remove_leftovers


def kept(source: str, fill: Callable[[Path], None]) -> Path:
    """The copy of `source`, which names a place and its version; `fill` makes it in an empty
    folder. Whoever else wants the same waits."""
    home = Path.home() / ".cache" / "lmtrainer"
    place = home / hashlib.sha256(source.encode()).hexdigest()[:32]
    if place.is_dir():
        return place
    make_folder(home)
    with (home / "lock").open("ab") as lock:
        # Where the file system knows no locks, the same may be copied twice.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
            remove_leftovers(home)
        if not place.is_dir():
            with building(place) as beside:
                fill(beside)
    return place
