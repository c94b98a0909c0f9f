"""This machine, as a command line meets it: its files, and its cores."""

from __future__ import annotations

import os
from pathlib import Path

MAX_BYTES = 1_000_000
"""Of a configuration file."""


class LocalFiles:
    """The files of the current folder (`lmtrainer.compat.documents.Files`)."""

    def read(self, path: str) -> str | None:
        """The text of a small file; None if there is none, or it is no text."""
        try:
            with Path(path).expanduser().open("rb") as file:
                return file.read(MAX_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            return None

    def is_folder(self, path: str) -> bool:
        return Path(path).expanduser().is_dir()

    def names(self, folder: str) -> tuple[str, ...]:
        """Sorted names in a folder; none if it is no folder."""
        try:
            return tuple(sorted(p.name for p in Path(folder).expanduser().iterdir()))
        except OSError:
            return ()


def threads_of(processes: int) -> int:
    """CPU threads of each of so many processes, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // processes)


def automatic_precision() -> str:
    """What precision auto means here: bf16 where a GPU is seen."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    has_gpu = Path("/proc/driver/nvidia/gpus").is_dir() and seen != ""
    return "bf16" if has_gpu else "fp32"
