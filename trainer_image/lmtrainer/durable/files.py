"""One file, durably: never half of it under its name, never through a link that someone laid.

A crash at any point leaves the old file or the new one (write beside, fsync, rename, fsync of the
folder: Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). Errors of the disk come
out as OSError with their errno and the path, so that a full disk is told from a bug.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.config.schema import required

LEFTOVER = ".tmp-"
"""How the name of everything unfinished begins."""

BLOCK = 4 << 20
"""Bytes hashed and written, or read, at once."""

SMALL = 16 << 20
"""Largest document that is read into memory, in bytes; a larger one is damaged or an attack."""


@dataclass(frozen=True, kw_only=True)
class FileFact:
    """What a manifest says of one file."""

    size: int = required("bytes", minimum=0)
    sha256: str = required("of the whole file, in hexadecimal", pattern=r"[0-9a-f]{64}")


def write_new(path: Path, blocks: Iterable[bytes | memoryview]) -> FileFact:
    """Write a file that is not there yet, flush it to the disk, and say what was written. It is
    hashed on the way. FileExistsError if something has that name, even a dangling link."""
    digest = hashlib.sha256()
    size = 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _naming(path):
        descriptor = os.open(path, flags, 0o666)
        try:
            for block in blocks:
                view = memoryview(block).cast("B")
                for start in range(0, len(view), BLOCK):
                    piece = view[start : start + BLOCK]
                    digest.update(piece)
                    _write_all(descriptor, piece)
                size += len(view)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return FileFact(size=size, sha256=digest.hexdigest())


def replace(path: Path, content: str | bytes | Iterable[bytes]) -> FileFact:
    """Write a file, or put a new one in the place of the old one, durably. A large one comes in
    blocks."""
    whole = content.encode() if isinstance(content, str) else content
    blocks = [whole] if isinstance(whole, bytes) else whole
    beside = path.with_name(f"{LEFTOVER}{path.name}-{secrets.token_hex(6)}")
    try:
        fact = write_new(beside, blocks)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return fact


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. File systems that know no such thing say EINVAL."""
    with _naming(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as fault:
            if fault.errno != errno.EINVAL:
                raise
        finally:
            os.close(descriptor)


def sync_file(path: Path) -> None:
    """Flush to the disk what someone else wrote into a file."""
    with open_regular(path) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """Open a plain file for reading. A symbolic link is ELOOP; a folder, pipe or device, which
    could keep a reader waiting for ever, is EINVAL."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _naming(path):
        descriptor = os.open(path, flags)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            yield descriptor
        finally:
            os.close(descriptor)


def read_small(path: Path) -> bytes:
    """All of a small plain file; OSError EFBIG if it is larger than any document of ours."""
    with open_regular(path) as descriptor:
        if os.fstat(descriptor).st_size > SMALL:
            raise OSError(errno.EFBIG, f"larger than {SMALL} bytes", str(path))
        blocks = iter(lambda: os.read(descriptor, BLOCK), b"")
        return b"".join(blocks)


def measure(path: Path) -> FileFact:
    """Size and sha256 of a plain file, read from end to end."""
    digest = hashlib.sha256()
    size = 0
    buffer = memoryview(bytearray(BLOCK))
    with open_regular(path) as descriptor:
        while count := os.readv(descriptor, [buffer]):
            digest.update(buffer[:count])
            size += count
    return FileFact(size=size, sha256=digest.hexdigest())


def _write_all(descriptor: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(descriptor, piece) :]


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of a descriptor do not know their file; people want to."""
    try:
        yield
    except OSError as fault:
        if fault.filename is None:
            fault.filename = str(path)
        raise
