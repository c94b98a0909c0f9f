"""Files in an object store, read as they are needed: `s3://BUCKET/KEY`.

Called by `text.sources` and `text.files`; `lmtrainer.s3` says how a store is reached.
"""

from __future__ import annotations

import fnmatch
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from lmtrainer.faults import UserError
from lmtrainer.s3 import ask, file_system
from lmtrainer.text.copies import kept
from lmtrainer.text.patterns import is_pattern

AHEAD = 16 << 20
"""Bytes that are fetched beyond those asked for: most text is read from end to end."""


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

    def open(self, ahead: int = AHEAD) -> BinaryIO:
        """Its bytes; OSError if it is gone."""
        system = file_system(self.url)
        return cast(BinaryIO, system.open(self.url, "rb", block_size=ahead, cache_type="readahead"))

    def now(self) -> RemoteFile:
        """The same file as it is at this moment."""
        return remote_file(self.url, file_system(self.url).info(self.url, refresh=True))


def found(url: str, field: str) -> list[RemoteFile]:
    """The files that a location names, sorted: those that match its pattern, or one file, or all
    files of a folder. Names that begin with a dot are left out unless written out. UserError if
    there are none, or if the store refuses; StoreError if it cannot be reached."""
    system = file_system(url)

    def look() -> dict[str, Any]:
        system.invalidate_cache()
        if is_pattern(url):
            return dict(system.glob(url, detail=True))
        if system.isfile(url):
            return {url: system.info(url)}
        return dict(system.find(url, detail=True))

    matches = ask(look, field, url)
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
        for file in files:
            below = file.url.removeprefix(url).strip("/")
            if "/" not in below:
                ask(functools.partial(system.get_file, file.url, str(place / below)), field, url)

    facts = "\n".join(f"{file.url} {file.size} {file.version}" for file in files)
    return kept(facts, fetch)


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
