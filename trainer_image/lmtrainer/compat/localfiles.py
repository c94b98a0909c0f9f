"""The files of the machine that a command line is typed on: the one file of this room that looks.
Called by `lmtrainer compat` and `lmjob convert`."""

from __future__ import annotations

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
