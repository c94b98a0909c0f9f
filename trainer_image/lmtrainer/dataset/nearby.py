"""A copy of a dataset on the disk of the node that trains on it, for volumes that are slow or far.

Called by `dataset.prepare`. The ranks of a node share one copy: the first makes and verifies it,
the others wait.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from lmtrainer.dataset.home import alone
from lmtrainer.durable import building, verify_manifest


def copied(folders: Iterable[Path], place: Path) -> None:
    """Copy sealed folders into a folder of this machine, unless they are there. DamagedError if one
    is not what its manifest says; OSError if the disk is full."""
    with alone(place, lambda: None):
        for folder in folders:
            if not (place / folder.name).is_dir():
                _copy(folder, place / folder.name)


def _copy(folder: Path, target: Path) -> None:
    with building(target) as beside:
        for path in sorted(folder.iterdir()):
            shutil.copyfile(path, beside / path.name)
        verify_manifest(beside)
