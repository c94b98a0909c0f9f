"""Completion records: the proof that a stage is done, which a later start of it believes only after
it has read again what the record names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.reports import Completion, dump, load
from lmtrainer.durable import DamagedError, make_folder, read_small, replace, sha256_of, sync_folder
from lmtrainer.output.claim import Claim
from lmtrainer.output.identity import RECORDS


def record_path(folder: Path, stage: Stage, part: str = "") -> Path:
    """Of a stage, or of a part of its work."""
    return folder / RECORDS / (f"{stage}-{part}.json" if part else f"{stage}.json")


def write_record(mine: Claim, record: Completion, part: str = "") -> None:
    """Make a record durable, as the last act of a stage, or of a part of its work: all that it
    names must be so already. FencedError if the folder has gone to another attempt; ValueError if
    the record proves nothing."""
    if not record.proves_success:
        raise ValueError(f"stage {record.stage} has not reached its target: {record}")
    make_folder(mine.folder / RECORDS)
    mine.fence()
    replace(record_path(mine.folder, record.stage, part), dump(record) + "\n")


def forget_records(mine: Claim, stage: Stage, parts: Iterable[str]) -> None:
    """What they prove is about to be changed."""
    for part in parts:
        record_path(mine.folder, stage, part).unlink(missing_ok=True)
    if (mine.folder / RECORDS).is_dir():
        sync_folder(mine.folder / RECORDS)


def read_record(folder: Path, stage: Stage, part: str = "") -> Completion | None:
    """The record of a stage as it lies there; None if there is none, or none that can be read."""
    try:
        found = load(Completion, read_small(record_path(folder, stage, part)).decode())
    except (OSError, ValueError, RecursionError):
        return None
    return found if found.stage == stage else None


def verified_record(
    folder: Path,
    stage: Stage,
    *,
    config_hash: str,
    manifest: Path,
    check: Callable[[Path], object],
    part: str = "",
) -> Completion | None:
    """The record of a stage that is really done, whichever job did it; None if it must be done
    (again).

    `manifest` is the document whose sha256 the record carries: `model/manifest.json`,
    `dataset/manifest.json`, `evaluation.json`. `check` reads everything that it stands for again,
    given the folder it lies in, and raises DamagedError, ValueError or OSError if something is not
    as it was: `durable.verify_manifest`, or a check of the stage's own.
    """
    record = read_record(folder, stage, part)
    if record is None or not record.proves_success or record.config_hash != config_hash:
        return None
    try:
        if sha256_of(manifest) != record.manifest_sha256:
            return None
        check(manifest.parent)
    except (DamagedError, ValueError, OSError):
        return None
    return record
