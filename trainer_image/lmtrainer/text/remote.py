"""Files in an object store, read as they are needed: `s3://BUCKET/KEY`.

Called by `text.sources` and `text.files`; `lmtrainer.s3` says how a store is reached.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from lmtrainer.faults import UserError
from lmtrainer.s3 import file_system
from lmtrainer.text.copies import kept
from lmtrainer.text.patterns import is_pattern

BLOCK = 16 << 20
"""Bytes that are asked for at once: text is read from end to end."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as it was when it was found."""

    url: str
    size: int
    version: str
    """Changes with the contents: the entity tag of the store."""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def __str__(self) -> str:
        return self.url

    def open(self) -> BinaryIO:
        """Its bytes; OSError if it is gone."""
        system = file_system(self.url)
        return cast(BinaryIO, system.open(self.url, "rb", block_size=BLOCK, cache_type="readahead"))

    def now(self) -> RemoteFile:
        """The same file as it is at this moment."""
        return remote_file(self.url, file_system(self.url).info(self.url, refresh=True))


def found(url: str, field: str) -> list[RemoteFile]:
    """The files that a location names, sorted: those that match its pattern, or one file, or all
    files of a folder. Names that begin with a dot are left out unless written out. UserError if
    there are none, or if the store cannot be asked."""
    system = file_system(url)
    with _asking(field, url):
        system.invalidate_cache()
        if is_pattern(url):
            matches = system.glob(url, detail=True)
        elif system.isfile(url):
            matches = {url: system.info(url)}
        else:
            matches = system.find(url, detail=True)
    facts = {system.unstrip_protocol(name): fact for name, fact in matches.items()}
    urls = [u for u, fact in facts.items() if fact["type"] == "file" and _shown(u, url)]
    if not urls:
        raise UserError(f"{field}: {url} matches 0 files; check bucket and key")
    return [remote_file(u, facts[u]) for u in sorted(urls)]


def copied(url: str, field: str) -> Path:
    """A folder of a store as a folder of this machine, copied once for each version of it."""
    files = found(url, field)
    system = file_system(url)

    def fetch(place: Path) -> None:
        with _asking(field, url):
            for file in files:
                below = file.url.removeprefix(url).strip("/")
                if "/" not in below:
                    system.get_file(file.url, str(place / below))

    facts = "\n".join(f"{file.url} {file.size} {file.version}" for file in files)
    return kept(facts, fetch)


@contextmanager
def _asking(field: str, url: str) -> Iterator[None]:
    """What goes wrong between us and a store is told with the location."""
    try:
        yield
    except UserError:
        raise
    except Exception as fault:  # every store has its own classes
        cause = f"{type(fault).__name__}: {fault}"
        way_out = "check the name, the credentials and the endpoint (AWS_...) in the environment"
        raise UserError(f"{field}: {url} cannot be read: {cause}; {way_out}") from None


def _shown(found: str, asked: str) -> bool:
    """Has the part of a name that was not written out no dot in front?"""
    names, parts = found.split("/"), asked.split("/")
    hidden = (name for name in names if name.startswith("."))
    return all(any(fnmatch.fnmatchcase(n, p) and p[:1] == "." for p in parts) for n in hidden)


def remote_file(url: str, facts: dict[str, Any]) -> RemoteFile:
    """A file with the facts that the store tells of it."""
    size = int(facts["size"])
    version = facts.get("ETag") or facts.get("LastModified") or size
    return RemoteFile(url, size, str(version).strip('"'))
