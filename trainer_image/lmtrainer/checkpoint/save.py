"""Makes a snapshot durable: all of it under its name, or nothing."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

from lmtrainer.checkpoint import shards
from lmtrainer.checkpoint.layout import epoch_name, folder_name
from lmtrainer.checkpoint.rotate import rotate, set_aside
from lmtrainer.checkpoint.snapshot import (
    OPTIMIZER_FILE,
    STATE_FILE,
    Snapshot,
)
from lmtrainer.checkpoint.tensors import write_tensors
from lmtrainer.checkpoint.verify import Checkpoint, verify
from lmtrainer.config.schema import document
from lmtrainer.contract.output import MODEL_CONFIG_FILE, WEIGHTS_FILE
from lmtrainer.durable import (
    DamagedError,
    FileFact,
    building,
    make_folder,
    write_manifest,
    write_new,
)


def save(root: Path, snapshot: Snapshot, *, keep: int, fence: Callable[[], None]) -> Checkpoint:
    """Write a checkpoint into `root`, read it back, publish it, and let the oldest beyond `keep`
    go.

    `fence` raises FencedError when a newer attempt owns the folder; it is asked before anything is
    changed, and again right before the rename. OSError keeps its errno (ENOSPC, EIO, ...): then
    nothing of the new checkpoint is left and the older ones are as they were. A checkpoint of that
    position that verifies is kept; one that does not is set aside.
    """
    state = snapshot.state
    final = root / folder_name(state.position)
    make_folder(root)
    fence()
    checkpoint = None
    if snapshot.part is not None and final.exists():
        # The other ranks are about to write their parts of this one.
        set_aside([(final, f"{final.name} is saved again")])
    else:
        checkpoint = _already_there(final, state.config_hash)
    if checkpoint is None:
        checkpoint = _publish(final, snapshot, fence)
    rotate(checkpoint, keep)
    return checkpoint


def _already_there(final: Path, config_hash: str) -> Checkpoint | None:
    if not final.is_symlink() and not final.exists():
        return None
    try:
        return verify(final, config_hash)
    except DamagedError as fault:
        set_aside([(final, str(fault))])
        return None


def _publish(final: Path, snapshot: Snapshot, fence: Callable[[], None]) -> Checkpoint:
    state = snapshot.state
    try:
        own = f"{state.attempt}-{os.getpid()}"
        tag = own if snapshot.part is None else shards.tag(state.attempt)
        with building(final, tag=tag, before_rename=fence) as folder:
            _write(folder, snapshot)
            checkpoint = verify(folder, state.config_hash, name=final.name)
    except FileNotFoundError:
        # A newer attempt removes what older ones left unfinished, also under our hands.
        fence()
        raise
    except DamagedError as fault:
        # Not ours to explain, and no reason to give up: another attempt may have a better disk.
        raise OSError(errno.EIO, f"does not read back as written ({fault})", str(final)) from fault
    return dataclasses.replace(checkpoint, path=final)


def _write(folder: Path, snapshot: Snapshot) -> None:
    state = snapshot.state
    text = json.dumps(document(state), ensure_ascii=True, allow_nan=False, indent=1)
    files = {
        MODEL_CONFIG_FILE: write_new(folder / MODEL_CONFIG_FILE, [snapshot.model_config.encode()]),
        STATE_FILE: write_new(folder / STATE_FILE, [text.encode()]),
        **_write_all_tensors(folder, snapshot),
    }
    write_manifest(
        folder,
        files,
        phase=state.position.phase,
        phase_index=state.position.phase_index,
        step=state.position.step,
        attempt=state.attempt,
        job_uid=state.job_uid,
        config_hash=state.config_hash,
        epoch_name=epoch_name(state.epoch, state.position.step),
        parts=0 if snapshot.part is None else snapshot.part.ranks,
    )


def _write_all_tensors(folder: Path, snapshot: Snapshot) -> dict[str, FileFact]:
    """This process's own and, of a state in parts, those of the other ranks."""
    part = snapshot.part
    if part is None:
        return {
            WEIGHTS_FILE: write_tensors(folder / WEIGHTS_FILE, snapshot.weights),
            OPTIMIZER_FILE: write_tensors(folder / OPTIMIZER_FILE, snapshot.optimizer),
        }
    own = shards.write_part(folder, snapshot, part)
    return {**own, **shards.gather_facts(folder, part.rank, part.ranks)}
