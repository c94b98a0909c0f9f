"""A file of text wherever it lies: how it is opened, how large it is, what would show a change.

Called by `text.documents`, `text.tables` and the preparation of data. A file on this machine is a
`Path`, and so is a folder that the `datasets` library saved; one elsewhere is a `RemoteFile`.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from lmtrainer.durable import FileFact, measure
from lmtrainer.text.remote import AHEAD, RemoteFile


@dataclass(frozen=True)
class Stretch:
    """Some bytes of a file that are text by themselves: no document crosses either end."""

    file: Path | RemoteFile
    begin: int
    end: int

    @property
    def name(self) -> str:
        return self.file.name

    def __str__(self) -> str:
        return f"{self.file} from byte {self.begin}" if self.begin else str(self.file)


TextFile = Path | RemoteFile | Stretch
Form = Literal["text", "lines of JSON", "JSON", "CSV", "Parquet", "Arrow", "saved"]

ENDINGS: dict[str, Form] = {
    ".jsonl": "lines of JSON",
    ".json": "JSON",
    ".csv": "CSV",
    ".parquet": "Parquet",
    ".arrow": "Arrow",
}
"""What an ending means; any other one is plain text. `.gz` behind it is unpacked."""

SAVED = ("state.json", "dataset_info.json")
"""What lies in a folder that `datasets.save_to_disk` wrote."""

PACKED = ".gz"

OnRead = Callable[[int], None]
"""Hears how many bytes were read."""


def form_of(file: TextFile) -> Form:
    """What a file is, by its ending."""
    if isinstance(file, Path) and is_saved(file):
        return "saved"
    name = file.name.lower().removesuffix(PACKED)
    return ENDINGS.get(Path(name).suffix, "text")


def is_gzip(file: TextFile) -> bool:
    """Is a file unpacked when it is read?"""
    return file.name.lower().endswith(PACKED)


def is_compressed(file: TextFile) -> bool:
    """May a file hold more text than it has bytes?"""
    return is_gzip(file) or form_of(file) == "Parquet"


def is_saved(folder: Path) -> bool:
    """Was this folder written by `datasets.save_to_disk`?"""
    return all((folder / name).is_file() for name in SAVED)


@contextlib.contextmanager
def opened(file: TextFile, on_read: OnRead) -> Iterator[BinaryIO]:
    """The bytes of a file from the beginning, unpacked; `on_read` hears of those on the disk."""
    with contextlib.ExitStack() as stack:
        counted = cast(BinaryIO, _Counted(stack.enter_context(raw(file)), on_read))
        if is_gzip(file):
            yield cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=counted)))
        else:
            yield counted


def raw(file: TextFile, ahead: int = AHEAD) -> BinaryIO:
    """The bytes of a file as they are. Those of a whole file can be read in any order. Of one in a
    store, `ahead` more bytes are fetched than are read."""
    if isinstance(file, Stretch):
        whole = raw(file.file, min(ahead, file.end - file.begin))
        return cast(BinaryIO, _Bounded(whole, file.begin, file.end))
    return file.open("rb") if isinstance(file, Path) else file.open(ahead)


def placed(file: TextFile) -> tuple[Path | RemoteFile, int, int]:
    """The whole file that a text is in, and the bytes of it from which and up to which it goes."""
    if isinstance(file, Stretch):
        return file.file, file.begin, file.end
    return file, 0, size_of(file)


def size_of(file: TextFile) -> int:
    """Bytes."""
    if isinstance(file, Stretch):
        return file.end - file.begin
    if isinstance(file, RemoteFile):
        return file.size
    return sum(part.stat().st_size for part in _parts(file))


def stamp_of(file: TextFile) -> Any:
    """Something that is another one once the file was changed, without reading it."""
    assert not isinstance(file, Stretch), "a corpus is of whole files"
    if isinstance(file, RemoteFile):
        return file.now().version
    facts = (part.stat() for part in _parts(file))
    return tuple((fact.st_size, fact.st_mtime_ns) for fact in facts)


def described(file: TextFile, on_read: OnRead) -> dict[str, Any]:
    """Name, size and contents, for a fingerprint. A file elsewhere is not read for it: its version
    stands for its contents."""
    assert not isinstance(file, Stretch), "a corpus is of whole files"
    if isinstance(file, RemoteFile):
        on_read(file.size)
        return {"name": file.name, "size": file.size, "version": file.version}
    facts = []
    for part in _parts(file):
        facts.append(measure(part))
        on_read(facts[-1].size)
    fact = facts[0] if len(facts) == 1 else _joined(facts)
    return {"name": file.name, "size": fact.size, "sha256": fact.sha256}


def _joined(facts: list[FileFact]) -> FileFact:
    text = "".join(fact.sha256 for fact in facts)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return FileFact(size=sum(fact.size for fact in facts), sha256=digest)


def _parts(path: Path) -> list[Path]:
    """The plain files that a file on this machine is made of."""
    if path.is_dir():
        return sorted(part for part in path.iterdir() if part.is_file())
    return [path.resolve()]


class _Counted(io.RawIOBase):
    """Reads through, and tells how much."""

    def __init__(self, file: BinaryIO, on_read: OnRead) -> None:
        self._file = file
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        block = self._file.read(-1 if size is None else size)
        if block:
            self._on_read(len(block))
        return block


class _Bounded(io.RawIOBase):
    """The bytes of a file from `begin` to `end`."""

    def __init__(self, file: BinaryIO, begin: int, end: int) -> None:
        file.seek(begin)
        self._file = file
        self._left = end - begin

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        block = self._file.read(wanted)
        self._left -= len(block)
        return block

    def close(self) -> None:
        self._file.close()
        super().close()
