"""Says which rank printed a line, where several print to the same place."""

from __future__ import annotations

import threading
from typing import IO

MAX_LINE = 65536
"""Longer lines are broken, so that no rank can fill the launcher's memory."""

_ONE_LINE = threading.Lock()


def follow(source: IO[bytes], target: IO[bytes], prefix: str) -> threading.Thread:
    """Copy lines to `target` until `source` ends, in a thread of its own."""
    arguments = (source, target, prefix.encode())
    thread = threading.Thread(target=_copy, args=arguments, daemon=True)
    thread.start()
    return thread


def _copy(source: IO[bytes], target: IO[bytes], prefix: bytes) -> None:
    with source:
        while line := source.readline(MAX_LINE):
            _write(target, prefix + line.removesuffix(b"\n") + b"\n")


def _write(target: IO[bytes], line: bytes) -> None:
    """A target that is gone must not stop the reading, which would block the rank."""
    try:
        with _ONE_LINE:
            target.write(line)
            target.flush()
    except (OSError, ValueError):
        return
