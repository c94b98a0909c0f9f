"""Whole files or none: how the small reports of a node are written and read."""

from __future__ import annotations

import os
from pathlib import Path

MAX_REPORT_BYTES = 1_000_000
"""Longest report that is read; longer ones are mistakes."""


def write_whole(path: Path, text: str) -> None:
    """Write `path` so that a reader sees all of the old or all of the new text.

    Not synced to disk: a report is worth nothing after the machine went down.
    """
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def read_report(path: Path) -> str | None:
    """The text of a report, None if there is none; ValueError if it is no text or too long."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_REPORT_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(raw) > MAX_REPORT_BYTES:
        raise ValueError(f"{path.name} has more than {MAX_REPORT_BYTES} bytes")
    return raw.decode("utf-8")


def touch(path: Path) -> None:
    """Set the time of a file to now; make it if it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        path.touch()
