"""Which checkpoints go: the oldest beyond `keep`, and what cannot be trusted is set aside."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.checkpoint import layout
from lmtrainer.checkpoint.verify import Checkpoint, read_state
from lmtrainer.durable import DamagedError, sync_folder
from lmtrainer.durable.folders import discard, remove

KEEP_SET_ASIDE = 3
"""Damaged checkpoints that are kept for people to look at; they fill the disk like good ones."""


@dataclass(frozen=True, kw_only=True)
class SetAside:
    """A checkpoint that was not used."""

    name: str
    reason: str
    moved_to: str = ""
    """Where it lies now; empty if it was left in place."""

    def __str__(self) -> str:
        return f"{self.reason}; set aside as {self.moved_to}" if self.moved_to else self.reason


def rotate(newest: Checkpoint, keep: int) -> tuple[str, ...]:
    """Remove checkpoints older than `newest`, which has been verified, until `keep` are left, and
    beside them the best one of its phase by held-out loss; the last good one must survive a bad
    save, so `keep` is at least 2. Returns the names."""
    if keep < 2:
        raise ValueError(f"keep is {keep}; at least 2 checkpoints are kept")
    found = layout.candidates(newest.path.parent)
    older = found[found.index(newest.path) + 1 :]
    doomed = older[keep - 1 :]
    if doomed:
        best = _best(found, newest.position.phase_index)
        doomed = [folder for folder in doomed if folder != best]
    for folder in doomed:
        discard(folder)
    return tuple(folder.name for folder in doomed)


def _best(folders: Sequence[Path], phase_index: int) -> Path | None:
    """Of one phase, for losses of other lengths do not compare; the newest of equals."""
    losses = {}
    for folder in folders:
        position = layout.position_of(folder.name)
        if position is not None and position.phase_index == phase_index:
            with contextlib.suppress(DamagedError, OSError):
                losses[folder] = read_state(folder).held_out_loss
    measured = {folder: loss for folder, loss in losses.items() if loss is not None}
    return min(measured, key=lambda folder: measured[folder], default=None)


def set_aside(damaged: Sequence[tuple[Path, str]]) -> tuple[SetAside, ...]:
    """Rename damaged checkpoints of one folder, given with the reasons, to `.bad-<name>-<number>`.
    Nothing given here is deleted; of those from earlier times the oldest make room."""
    if not damaged:
        return ()
    root = damaged[0][0].parent
    earlier = layout.set_aside(root)
    number = earlier[-1][0] if earlier else 0
    moved = []
    for folder, reason in damaged:
        number += 1
        place = folder.rename(root / f".bad-{folder.name}-{number}")
        moved.append(SetAside(name=folder.name, reason=reason, moved_to=place.name))
    sync_folder(root)
    room = max(0, KEEP_SET_ASIDE - len(moved))
    for _, entry in earlier[: len(earlier) - room]:
        remove(entry)
    return tuple(moved)
