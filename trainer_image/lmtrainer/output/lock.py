"""A file lock that dies with its process and says who holds it.

flock(2) belongs to an open file, which a forked child would share and keep locked after its parent
was killed; so children close it at once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.config import MistakesError, parse
from lmtrainer.config.schema import document
from lmtrainer.contract.reports import known_part
from lmtrainer.faults import UserError

POLL_SECONDS = 0.1

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_held: set[int] = set()


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What the holder of a lock writes into it, for messages."""

    job_uid: str = ""
    attempt: int = 0
    pid: int = 0
    host: str = ""

    def __str__(self) -> str:
        if not self.job_uid:
            return "a process that did not say which"
        return f"job {self.job_uid}, attempt {self.attempt}, process {self.pid} on {self.host}"


class LockHeldError(Exception):
    """Somebody else held the lock until the end of the wait."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        super().__init__(str(holder))


@contextlib.contextmanager
def lock(path: Path, *, job_uid: str, attempt: int, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of a file, which is made if need be and never removed. LockHeldError after
    `wait_seconds`; UserError if the file is a link or its file system has no locks."""
    descriptor = _acquire(path, time.monotonic() + wait_seconds)
    _close_in_forked_children()
    _held.add(descriptor)
    try:
        me = Holder(job_uid=job_uid, attempt=attempt, pid=os.getpid(), host=socket.gethostname())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(document(me)).encode(), 0)
        yield
    finally:
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)


def _acquire(path: Path, deadline: float) -> int:
    while True:
        descriptor = _try(path)
        if descriptor is not None:
            return descriptor
        if time.monotonic() >= deadline:
            raise LockHeldError(_holder(path))
        time.sleep(POLL_SECONDS)


def _try(path: Path) -> int | None:
    """An open and locked descriptor of what has that name now, or None."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as fault:
        if fault.errno in _NO_LOCKS:
            way_out = "give a volume with a POSIX file system"
            raise UserError(f"output.to: {path.parent} has no file locks; {way_out}") from fault
        raise
    os.close(descriptor)
    return None


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o666)
    except OSError as fault:
        if fault.errno in (errno.ELOOP, errno.EISDIR):
            raise UserError(f"output.to: {path} is not a plain file; remove it") from fault
        raise


def _holder(path: Path) -> Holder:
    try:
        return parse(Holder, known_part(Holder, json.loads(path.read_text())))
    except (OSError, ValueError, MistakesError):
        return Holder()


@functools.cache
def _close_in_forked_children() -> None:
    os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()
