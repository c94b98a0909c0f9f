"""The local runner's own state, in the job's output folder: the frozen plan and the memory.

<output>/.lmjob/job.json      plan, memory and status, replaced as a whole and durably
<output>/.lmjob/lock          held while a runner works in the folder
<output>/.lmjob/<node>/       one for each node, see `nodefiles`
<output>/.lmjob/earlier/      nodes of earlier jobs of this folder
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lmjob.core.memory import Memory
from lmjob.core.plan.shapes import JobPlan
from lmtrainer.config import document, parse
from lmtrainer.config.schema import setting
from lmtrainer.contract.output import RUNNER_FOLDER

VERSION = 1


class StateError(Exception):
    """The folder cannot be worked in; the message says why, and the way out."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """job.json."""

    version: int = VERSION
    plan: JobPlan
    memory: Memory = setting(Memory, "what was claimed")
    status: Mapping[str, Any] = setting(lambda: MappingProxyType({}), "what was reported last")
    spec: Mapping[str, Any] = setting(lambda: MappingProxyType({}), "as the user wrote it")


def state_folder(output: Path) -> Path:
    return output / RUNNER_FOLDER


def read(output: Path) -> Stored | None:
    """job.json of an output folder; None if there is none. StateError if it cannot be read."""
    path = state_folder(output) / "job.json"
    try:
        raw = json.loads(path.read_text())
        if raw.get("version", VERSION) > VERSION:
            raise StateError(f"{path} is of a newer lmjob; use that")
        return parse(Stored, raw)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as fault:
        way_out = f"remove {path.parent} to begin a new job there (checkpoints stay)"
        raise StateError(f"{path} is damaged ({fault}); {way_out}") from fault


def write(output: Path, stored: Stored) -> None:
    """Replace job.json durably."""
    text = json.dumps(document(stored), indent=1, allow_nan=False) + "\n"
    replace(state_folder(output) / "job.json", text, durable=True)


def replace(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a file so that a reader sees the old one or the new one; `durable` also after a power
    cut."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.replace(path)
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(output: Path) -> Iterator[None]:
    """Keep every other runner out of the folder for the length of the block. The lock dies with
    this process. StateError if another one holds it."""
    state_folder(output).mkdir(parents=True, exist_ok=True)
    path = state_folder(output) / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace") or "unknown"
        raise StateError(
            f"another `lmjob run` (process {holder}) works in {output}; wait for it, or end it "
            f"with: kill -INT {holder}"
        ) from None
    finally:
        os.close(descriptor)
