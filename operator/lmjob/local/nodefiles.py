"""What lies in the folder of a node, and how it is read.

    <output>/.lmjob/<attempt>-<role>-<index>/
        record.json        who was started, written before the start and completed after it
        config.json        the run's configuration
        log.txt            what the launcher and its ranks print
        announcement.json, progress.json, termination.json ...   see `lmtrainer.contract.reports`

A launcher may be killed while it writes: what cannot be read is not there. Called by `node`.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast, get_args

from lmjob.core.plan.shapes import ReplicaKey, Role
from lmjob.local.procs import ProcessId
from lmjob.local.store import replace
from lmtrainer.config import document, parse
from lmtrainer.contract.reports import load

CONFIG_FILE = "config.json"
LOG_FILE = "log.txt"
RECORD_FILE = "record.json"
TERMINATION_FILE = "termination.json"

_NAME = re.compile(rf"(?P<attempt>[1-9]\d*)-(?P<role>{'|'.join(get_args(Role))})-(?P<index>\d+)")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Record:
    """record.json. Without a process: the start was intended, and nobody knows whether it came to
    it."""

    uid: str
    created_at: float
    process: ProcessId | None = None
    exit_code: int | None = None
    """As its parent, the runner, saw it; left out if that was killed before."""


def node_name(attempt: int, key: ReplicaKey) -> str:
    """Name of the folder of a node."""
    return f"{attempt}-{key.role}-{key.index}"


def parse_name(name: str) -> tuple[int, ReplicaKey]:
    """Attempt and key of the node whose folder has this name."""
    match = _NAME.fullmatch(name)
    assert match is not None, name
    return int(match["attempt"]), ReplicaKey(cast(Role, match["role"]), int(match["index"]))


def node_folders(parent: Path) -> list[Path]:
    """Folders of nodes, and nothing else that lies beside them."""
    return sorted(path for path in parent.iterdir() if _NAME.fullmatch(path.name))


def new_record(now: float) -> Record:
    return Record(uid=os.urandom(8).hex(), created_at=now)


def find_record(folder: Path) -> Record | None:
    """The record of a folder that an earlier runner left; None if its node was never begun."""
    text = read_text(folder / RECORD_FILE)
    if text is None:
        return None
    try:
        return parse(Record, json.loads(text))
    except ValueError:  # cut by a power failure, which nothing of the node outlived
        return new_record(0.0)


def save_record(folder: Path, record: Record) -> None:
    replace(folder / RECORD_FILE, json.dumps(document(record)) + "\n")


def read_report(cls: type[T], path: Path) -> T | None:
    """A report of the contract; None if there is none, or none that can be read."""
    text = read_text(path)
    try:
        return load(cls, text) if text else None
    except ValueError:
        return None


def read_text(path: Path) -> str | None:
    """The text of a file; None if there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
