"""Files and folders as one stream, the receiving side: `lmtrainer receive` and `lmjob cp` read
what `contract.packing` wrote.

Nothing gets its final name before all of it has arrived and its summary is right. Names and links
are checked as by the filter "data" of tarfile, which the first versions of Python 3.11 lack.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from lmtrainer.contract.packing import (
    BLOCK,
    ROOT,
    SUMMARY,
    Summary,
    Tally,
    TreeError,
    forget,
    inner_target,
)

UNFINISHED = ".tmp-copy-"
"""How the name of everything begins that has not arrived in full."""

MAX_SUMMARY = 4096
CUT = "the transfer was cut; nothing of it was kept"


def landing(destination: Path, name: str, *, into: bool = False) -> Path:
    """Where a copy of something called `name` goes, as `cp -r` has it: into a destination that is
    a folder (or shall be one, `into`), else under the destination's own name. The name "." stands
    for the contents of a folder. Links above the last part are followed."""
    whole = destination.resolve()
    if into or whole.is_dir():
        return whole / name
    return destination.parent.resolve() / destination.name


def unpack(stream: IO[bytes], final: Path) -> Summary:
    """Read a stream to its end and put what it holds in the place `final`.

    Folders above are made. If a folder is there, it keeps what else it has, and files of the same
    name are replaced. TreeError if the stream was cut or is none, leads out of its folder, or does
    not fit what is there; OSError as the disk has it. After either of them `final` is as it was.
    """
    parent = final if final.is_dir() else final.parent
    parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(parent) as beside:
        summary = _extract(stream, beside)
        _check_fit(beside / ROOT, final)
        _place(beside / ROOT, final)
    _sync(final.parent)
    return summary


@contextlib.contextmanager
def _unfinished(parent: Path) -> Iterator[Path]:
    beside = parent / f"{UNFINISHED}{secrets.token_hex(6)}"
    beside.mkdir()
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _extract(stream: IO[bytes], beside: Path) -> Summary:
    """Everything of a stream, synced; the summary says that it is everything."""
    tally, links, told = Tally(), list[tuple[Path, str]](), None
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as archive:
            while (member := archive.next()) is not None:
                forget(archive)
                if told is not None:
                    raise TreeError("the stream goes on after its summary")
                if member.name == SUMMARY:
                    told = _content(archive, member).read(MAX_SUMMARY)
                else:
                    _put(archive, member, beside, tally, links)
    except (tarfile.TarError, EOFError) as fault:
        raise TreeError(CUT) from fault
    found = tally.summary()
    if told != found.text():
        raise TreeError(CUT if told is None else "what arrived is not what was sent; copy it again")
    _make_links(beside / ROOT, links)
    return found


def _put(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    beside: Path,
    tally: Tally,
    links: list[tuple[Path, str]],
) -> None:
    path = beside / _plain(member.name)
    if member.isdir():
        path.mkdir()
        tally.add("folder", member.name)
    elif member.issym():
        links.append((path, member.linkname))
        tally.add("link", member.name, content=member.linkname)
    elif member.isreg():
        digest = _write(_content(archive, member), path, member)
        tally.add("file", member.name, size=member.size, content=digest)
    else:
        raise TreeError(f"{member.name}: is neither a file nor a folder nor a link")


def _plain(name: str) -> PurePosixPath:
    """A name that stays inside. No link exists before all else has arrived, so none is followed."""
    parts = name.split("/")
    if parts[0] != ROOT or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise TreeError(f"{name}: is no name inside what is copied")
    return PurePosixPath(name)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise TreeError(f"{member.name}: has no content")
    return content


def _write(content: IO[bytes], path: Path, member: tarfile.TarInfo) -> str:
    """Write a new file, flushed to the disk; its sha256. Its owner may read and write it, nobody
    else may write, and only plain rights are taken over."""
    digest = hashlib.sha256()
    mode = (member.mode & 0o755) | 0o600
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, mode), "wb") as file:  # noqa: PTH123
        while block := content.read(BLOCK):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    os.utime(path, (member.mtime, member.mtime))
    return digest.hexdigest()


def _make_links(root: Path, links: list[tuple[Path, str]]) -> None:
    """Last, and each is looked at only when all are there: they may lead through one another."""
    for path, target in links:
        path.symlink_to(target)
    for path, _ in links:
        inner_target(root.resolve(), path.parent.resolve() / path.name)


def _check_fit(new: Path, old: Path) -> None:
    """TreeError if a folder would have to take the place of a file, a file that of a folder, or
    if a folder that is there is a link, through which the copy would leave its place."""
    if not os.path.lexists(old):
        return
    if old.is_dir() and old.is_symlink():
        raise TreeError(f"{old}: is a link to a folder; copy into the folder itself")
    if _is_folder(new) != _is_folder(old):
        kinds = ("a folder", "a file") if _is_folder(new) else ("a file", "a folder")
        raise TreeError(f"{old}: cannot put {kinds[0]} in the place of {kinds[1]}")
    if _is_folder(new):
        for entry in new.iterdir():
            _check_fit(entry, old / entry.name)


def _place(new: Path, old: Path) -> None:
    """Give what arrived its name: at once if nothing is there, else file by file."""
    if not _is_folder(new) or not old.exists():
        new.replace(old)
        return
    for entry in new.iterdir():
        _place(entry, old / entry.name)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _sync(folder: Path) -> None:
    """Make names durable, where the file system knows such a thing."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)
