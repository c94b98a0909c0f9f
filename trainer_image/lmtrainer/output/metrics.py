"""metrics.jsonl: one line of JSON for each thing that was measured, in the order of training.

A resumed run repeats the steps after its checkpoint, so their lines go first: the file always reads
like that of a run that was never disturbed.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmtrainer.contract.reports import Position
from lmtrainer.durable import LEFTOVER

METRICS_FILE = "metrics.jsonl"
ROLLED_BACK = "rolledBackFrom"
"""In the line of a roll-back: the step that went wrong."""

Value = float | int | str | None


class MetricsLog:
    """The open file; made and closed by the stage that trains."""

    def __init__(self, folder: Path, *, resumed: Position | None) -> None:
        """Go on behind the lines up to and with position `resumed`, which is in finished steps;
        None begins anew. Later lines, and one that was cut off in its middle, are dropped
        durably."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._path = folder / METRICS_FILE
        self._descriptor = os.open(self._path, flags, 0o666)
        self.rewind(resumed)
        self.sync()

    def append(self, position: Position, **values: Value) -> None:
        """Add one line: the position, in finished steps, and values under names of the caller's.
        JSON knows no NaN and no infinity: they become null."""
        plain = {"phaseIndex": position.phase_index, "phase": position.phase, "step": position.step}
        finite = {name: _finite(value) for name, value in values.items()}
        line = json.dumps({**plain, **finite}, allow_nan=False) + "\n"
        data = memoryview(line.encode())
        while data:
            data = data[os.write(self._descriptor, data) :]

    def rewind(self, position: Position | None) -> None:
        """Drop the lines behind a position, as if training had not gone there."""
        os.ftruncate(self._descriptor, _length_until(self._path, position))

    def sync(self) -> None:
        """Make all lines durable: before a checkpoint, so that none before it can be missing."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        self.sync()
        os.close(self._descriptor)


def detach_metrics(folder: Path) -> None:
    """Put a copy in the place of the file: whoever has it open writes into nothing from now on."""
    path = folder / METRICS_FILE
    if path.is_file() and not path.is_symlink():
        beside = path.with_name(f"{LEFTOVER}{path.name}-{secrets.token_hex(6)}")
        shutil.copyfile(path, beside)
        beside.replace(path)


def read_metrics(folder: Path) -> Iterator[dict[str, Any]]:
    """Each line of the file that can be read, in order; none if there is no file."""
    path = folder / METRICS_FILE
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            row = row_of(line)
            if row is not None:
                yield row


def _length_until(path: Path, resumed: Position | None) -> int:
    """Bytes of the whole lines before the first one that is later than `resumed`."""
    length = 0
    if resumed is None:
        return length
    with path.open("rb") as file:
        for line in file:
            row = row_of(line)
            if not line.endswith(b"\n") or (row is not None and _is_later(row, resumed)):
                break
            length += len(line)
    return length


def row_of(line: bytes) -> dict[str, Any] | None:
    """A line of the file; None if it is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _is_later(row: dict[str, Any], resumed: Position) -> bool:
    index, step = row.get("phaseIndex"), row.get("step")
    if not isinstance(index, int) or not isinstance(step, int):
        return False
    # A roll-back is noted where it led to; who begins there anew has it before him again.
    led_here = ROLLED_BACK in row and (index, step) == (resumed.phase_index, resumed.step)
    return led_here or (index, step) > (resumed.phase_index, resumed.step)


def _finite(value: Value) -> Value:
    return None if isinstance(value, float) and not math.isfinite(value) else value
