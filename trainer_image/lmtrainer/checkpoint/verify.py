"""Is a folder the checkpoint that it says it is? Everything is read; nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmtrainer.checkpoint import shards
from lmtrainer.checkpoint.layout import folder_name
from lmtrainer.checkpoint.snapshot import FILES, FILES_BESIDE_PARTS, STATE_FILE, State
from lmtrainer.config.mistakes import MistakesError
from lmtrainer.config.reading import parse
from lmtrainer.contract.reports import Position, known_part
from lmtrainer.durable import (
    MANIFEST_FILE,
    DamagedError,
    check_files,
    read_manifest,
    read_small,
    sha256_of,
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the manifest of a checkpoint says beside its files."""

    phase: str
    phase_index: int
    step: int
    attempt: int
    job_uid: str
    config_hash: str
    epoch_name: str = ""
    """As Lightning would call it."""
    parts: int = 0
    """Ranks that wrote a part each; 0 if rank 0 wrote all."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint that was read and verified."""

    path: Path
    position: Position
    job_uid: str
    attempt: int
    config_hash: str
    manifest_sha256: str
    parts: int = 0


def verify(folder: Path, config_hash: str, *, name: str | None = None) -> Checkpoint:
    """Read a whole checkpoint and compare it with its manifest, its name and the configuration.
    `name` stands for the folder's while it still has a temporary one. DamagedError says what is
    wrong. Costs one pass over all its bytes."""
    name = name or folder.name
    if folder.is_symlink() or not folder.is_dir():
        raise DamagedError(f"{name} is not a folder")
    manifest = read_manifest(folder)
    facts = _facts(name, manifest.facts)
    position = Position(phase_index=facts.phase_index, step=facts.step, phase=facts.phase)
    _compare(name, "position", folder_name_or_none(position), name)
    _compare(name, "config hash", facts.config_hash, config_hash)
    missing = sorted(_needed(facts.parts) - set(manifest.files))
    if missing:
        raise DamagedError(f"{name}: its manifest does not name {missing[0]}")
    check_files(folder, manifest)
    state = read_state(folder)
    _compare(name, f"position in {STATE_FILE}", state.position, position)
    _compare(name, f"config hash in {STATE_FILE}", state.config_hash, config_hash)
    return Checkpoint(
        path=folder,
        position=position,
        job_uid=facts.job_uid,
        attempt=facts.attempt,
        config_hash=facts.config_hash,
        manifest_sha256=sha256_of(folder / MANIFEST_FILE),
        parts=facts.parts,
    )


def _needed(parts: int) -> frozenset[str]:
    """Files that a checkpoint of so many parts cannot be without."""
    if not parts:
        return FILES
    return FILES_BESIDE_PARTS.union(*(shards.files_of(rank).values() for rank in range(parts)))


def read_state(folder: Path) -> State:
    """`state.json` of a checkpoint; DamagedError if it is none."""
    try:
        plain = json.loads(read_small(folder / STATE_FILE))
        return parse(State, known_part(State, plain))
    except (ValueError, RecursionError) as fault:
        raise DamagedError(f"{folder.name}: {STATE_FILE} cannot be used: {fault}") from fault


def folder_name_or_none(position: Position) -> str | None:
    try:
        return folder_name(position)
    except ValueError:
        return None


def _facts(name: str, plain: Mapping[str, Any]) -> Facts:
    try:
        return parse(Facts, known_part(Facts, plain))
    except MistakesError as fault:
        raise DamagedError(f"{name}/{MANIFEST_FILE}: {fault.mistakes[0]}") from fault


def _compare(name: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise DamagedError(f"{name}: its manifest has another {what}: {found}, not {expected}")
