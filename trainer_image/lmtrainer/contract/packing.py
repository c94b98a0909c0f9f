"""Files and folders as one stream, the sending side: `lmjob cp` and `lmtrainer send` write it,
`contract.unpacking` reads it.

The stream is a tar archive. Its members are `tree` (a file, or a folder with everything in it) and,
last, `summary.json`: counts and a sha256 over every name, size and content. A stream without its
summary was cut.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

ROOT = "tree"
SUMMARY = "summary.json"
BLOCK = 1 << 20
"""Bytes read and written at once."""


class TreeError(Exception):
    """What was to be copied, or what arrived, cannot be used; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What was sent, or what arrived. Equal summaries: equal names, sizes and contents."""

    files: int
    folders: int
    size: int
    """Bytes of all files."""
    sha256: str

    def text(self) -> bytes:
        """One line of JSON; equal summaries give equal bytes."""
        return json.dumps(asdict(self)).encode()


class Tally:
    """A summary in the making: every entry once, in the order of the stream."""

    def __init__(self) -> None:
        self._files = self._folders = self._bytes = 0
        self._digest = hashlib.sha256()

    def add(self, kind: str, name: str, *, size: int = 0, content: str = "") -> None:
        """`content`: the sha256 of a file, the target of a link."""
        self._files += kind != "folder"
        self._folders += kind == "folder"
        self._bytes += size
        line = json.dumps([kind, os.fsencode(name).hex(), size, os.fsencode(content).hex()])
        self._digest.update(line.encode() + b"\n")

    def summary(self) -> Summary:
        digest = self._digest.hexdigest()
        return Summary(files=self._files, folders=self._folders, size=self._bytes, sha256=digest)


class HashingReader(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        return block


def pack(source: Path, stream: IO[bytes]) -> Summary:
    """Write a file or folder to a stream. TreeError for what cannot be copied: a device, a link
    that leads out of the folder, a file that changes meanwhile. OSError as the disk has it."""
    tally = Tally()
    root = source.resolve()
    with tarfile.open(
        fileobj=stream, mode="w|", bufsize=BLOCK, format=tarfile.PAX_FORMAT
    ) as archive:
        for path in _walk(root):
            _add(archive, root, path, tally)
            forget(archive)
        text = tally.summary().text()
        last = tarfile.TarInfo(SUMMARY)
        last.size = len(text)
        archive.addfile(last, io.BytesIO(text))
    stream.flush()
    return tally.summary()


def forget(archive: tarfile.TarFile) -> None:
    """An archive keeps what it knows of every member; of millions that is more memory than a small
    pod has."""
    archive.members = []  # type: ignore[attr-defined]


def _walk(path: Path) -> Iterator[Path]:
    """A path and everything below it, folders before what is in them, in order of names."""
    yield path
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
            yield from _walk(Path(entry.path))


def _add(archive: tarfile.TarFile, root: Path, path: Path, tally: Tally) -> None:
    name = ROOT if path == root else f"{ROOT}/{path.relative_to(root).as_posix()}"
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(found.st_mode) & 0o777
    info.mtime = int(found.st_mtime)
    if stat.S_ISREG(found.st_mode):
        _add_file(archive, path, info, tally)
        return
    if stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
        tally.add("folder", name)
    elif stat.S_ISLNK(found.st_mode):
        info.type = tarfile.SYMTYPE
        info.linkname = inner_target(root, path)
        tally.add("link", name, content=info.linkname)
    else:
        raise TreeError(f"{path}: is neither a file nor a folder nor a link; it cannot be copied")
    archive.addfile(info)


def _add_file(archive: tarfile.TarFile, path: Path, info: tarfile.TarInfo, tally: Tally) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123
        info.size = os.fstat(file.fileno()).st_size
        reader = HashingReader(file)
        try:
            archive.addfile(info, reader)
        except OSError as fault:
            if fault.errno is None:  # tarfile's own: fewer bytes than were announced
                raise TreeError(f"{path}: changed while it was copied; copy it again") from fault
            raise
    tally.add("file", info.name, size=info.size, content=reader.digest.hexdigest())


def inner_target(root: Path, link: Path) -> str:
    """The target of a link that stays inside `root`; TreeError for one that leads out of it."""
    target = str(link.readlink())
    if target.startswith("/") or not Path(os.path.realpath(link)).is_relative_to(root):
        way_out = "copy what it points to, or remove it"
        raise TreeError(f"{link}: is a link to {target}, out of what is copied; {way_out}")
    return target
