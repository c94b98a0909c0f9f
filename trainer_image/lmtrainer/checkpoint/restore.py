"""Finds the newest checkpoint that verifies, and reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lmtrainer.checkpoint import shards
from lmtrainer.checkpoint.layout import candidates, position_of
from lmtrainer.checkpoint.rotate import SetAside, set_aside
from lmtrainer.checkpoint.snapshot import OPTIMIZER_FILE, Snapshot, State
from lmtrainer.checkpoint.tensors import read_tensors
from lmtrainer.checkpoint.verify import Checkpoint, read_state, verify
from lmtrainer.contract.output import MODEL_CONFIG_FILE, WEIGHTS_FILE
from lmtrainer.contract.reports import Position
from lmtrainer.durable import DamagedError, read_manifest, read_small, remove_leftovers
from lmtrainer.faults import UserError


@dataclass(frozen=True, kw_only=True)
class Found:
    """The checkpoint to go on from, and those that were newer but could not be used."""

    checkpoint: Checkpoint | None
    set_aside: tuple[SetAside, ...]


def newest(
    root: Path,
    config_hash: str,
    *,
    repair: bool = True,
    required: bool = False,
    until: Position | None = None,
) -> Found:
    """The newest checkpoint of `root` that verifies against its manifest and this configuration.

    With `repair` the caller owns the folder (`output.claim`): damaged ones are renamed to
    `.bad-...`, and what dead attempts left unfinished is removed. Without it nothing is written,
    for mounts that cannot be. With `required` it is a UserError to find none.
    Checkpoints behind `until` count as damaged: training had gone wrong by then.
    """
    if repair:
        remove_leftovers(root)
    found: Checkpoint | None = None
    damaged: list[tuple[Path, str]] = []
    for folder in candidates(root):
        if until is not None and _is_behind(folder, until):
            damaged.append((folder, f"{folder.name} was saved after training had gone wrong"))
            continue
        try:
            found = verify(folder, config_hash)
            break
        except DamagedError as fault:
            damaged.append((folder, str(fault)))
    moved = set_aside(damaged) if repair else tuple(_left(damaged))
    if found is None and required:
        raise UserError(_none_found(root, moved))
    return Found(checkpoint=found, set_aside=moved)


def find(root: Path, name: str) -> Path | None:
    """The checkpoint that is called so, by us or by Lightning (`epoch=2-step=8`, with or without
    `.ckpt`), the newest of that name, for each phase counts anew; nothing is verified."""
    wanted = name.removesuffix(".ckpt")
    for folder in candidates(root):
        if folder.name == wanted or _epoch_name(folder) == wanted:
            return folder
    return None


def _epoch_name(folder: Path) -> object:
    try:
        return read_manifest(folder).facts.get("epochName")
    except DamagedError:
        return None


def load(checkpoint: Checkpoint) -> Snapshot:
    """Read everything; call it right after the checkpoint was verified."""
    return Snapshot(
        state=load_state(checkpoint),
        weights=load_weights(checkpoint),
        optimizer=load_optimizer(checkpoint),
        model_config=read_small(checkpoint.path / MODEL_CONFIG_FILE).decode(),
    )


def load_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights alone."""
    if checkpoint.parts:
        return shards.read_whole(checkpoint.path, shards.WEIGHTS)
    return read_tensors(checkpoint.path / WEIGHTS_FILE)


def load_optimizer(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Every other tensor, by the name it was saved under."""
    if checkpoint.parts:
        return shards.read_whole(checkpoint.path, shards.OPTIMIZER)
    return read_tensors(checkpoint.path / OPTIMIZER_FILE)


def load_state(checkpoint: Checkpoint) -> State:
    """Everything that is no tensor."""
    return read_state(checkpoint.path)


def _is_behind(folder: Path, until: Position) -> bool:
    position = position_of(folder.name)
    assert position is not None, "candidates have a checkpoint's name"
    return (position.phase_index, position.step) > (until.phase_index, until.step)


def _left(damaged: list[tuple[Path, str]]) -> Iterator[SetAside]:
    for folder, reason in damaged:
        yield SetAside(name=folder.name, reason=reason)


def _none_found(root: Path, damaged: tuple[SetAside, ...]) -> str:
    reasons = "".join(f"; {aside.reason}" for aside in damaged)
    return (
        f'checkpoint.resume: is "required", but {root} holds no checkpoint that can be used'
        f'{reasons}; set it to "auto" to begin anew, or give the output folder of the run to go on'
    )
