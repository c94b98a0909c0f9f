"""The right to write into an output folder: one process at a time, never an older attempt.

The lock keeps live processes of one machine, or of one shared file system, apart. The fence is for
the others: a node that was cut off and comes back finds a newer attempt in run.json, and ends.

A newer attempt takes the lock of an older one of its job: who runs the job has given that one up,
and on a node that was cut off it may hang in an exchange for minutes. It publishes nothing more.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.config import Work
from lmtrainer.durable import make_folder, remove_leftovers
from lmtrainer.faults import FencedError, UserError
from lmtrainer.output.identity import (
    LOCK_FILE,
    RECORDS,
    check_owner,
    identity_of,
    read_identity,
    write_configuration,
    write_identity,
)
from lmtrainer.output.lock import LockHeldError, lock
from lmtrainer.output.metrics import detach_metrics

WAIT_SECONDS = 15.0
"""For a predecessor that is dying: longer than it takes to flush a page cache after SIGKILL."""

OLDER_SECONDS = 5.0
"""The same for an older attempt of the job, whose lock is then taken."""


@dataclass(frozen=True)
class Claim:
    """A folder that this attempt of this job may write to."""

    folder: Path
    job_uid: str
    attempt: int

    def fence(self) -> None:
        """FencedError if the folder has gone to a newer attempt or to another job. To be called
        right before anything is published there."""
        found = read_identity(self.folder)
        if found is None:
            raise FencedError(f"{self.folder} was removed or emptied while job {self.job_uid} ran")
        if found.job_uid != self.job_uid:
            raise FencedError(f"{self.folder} belongs to job {found.job_uid} now")
        if found.attempt > self.attempt:
            raise FencedError(f"{self.folder} belongs to attempt {found.attempt} now")


@contextlib.contextmanager
def claim(
    folder: Path,
    run: Work,
    job_uid: str,
    attempt: int,
    *,
    wait_seconds: float = WAIT_SECONDS,
) -> Iterator[Claim]:
    """Hold an output folder, as `resolve` gave it, for the length of the block.

    UserError if a live process of another job writes there, or a run of another configuration
    came first; FencedError if this attempt or a newer one of the same job does.
    """
    mine = Claim(folder, job_uid, attempt)
    with contextlib.ExitStack() as stack:
        try:
            # A link that the user made for the folder itself is the user's business.
            make_folder(folder.resolve())
            stack.enter_context(_locked(mine, wait_seconds))
            _sign(mine, run)
        except LockHeldError as fault:
            raise _in_use(mine, run, fault) from fault
        except (PermissionError, NotADirectoryError, FileExistsError) as fault:
            way_out = "give its user the right to, or choose another output.to"
            raise UserError(f"output.to: cannot be written ({fault}); {way_out}") from fault
        yield mine


@contextlib.contextmanager
def _locked(mine: Claim, wait_seconds: float) -> Iterator[None]:
    """Hold the lock of the folder. LockHeldError after the wait."""
    path = mine.folder / LOCK_FILE
    own = functools.partial(lock, path, job_uid=mine.job_uid, attempt=mine.attempt)
    first = min(wait_seconds, OLDER_SECONDS)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(own(wait_seconds=first))
        except LockHeldError as fault:
            if fault.holder.job_uid == mine.job_uid and fault.holder.attempt < mine.attempt:
                # What it keeps open has no name any more.
                path.unlink(missing_ok=True)
                detach_metrics(mine.folder)
            stack.enter_context(own(wait_seconds=wait_seconds - first))
        yield


def _sign(mine: Claim, run: Work) -> None:
    """Write run.json, unless what lies there forbids it."""
    found = read_identity(mine.folder)
    own = identity_of(run, mine.job_uid, mine.attempt)
    if found is not None:
        check_owner(mine.folder, found, own)
        if found.job_uid != mine.job_uid and run.checkpoint.resume == "never":
            raise _came_second(mine)
        if found.job_uid == mine.job_uid and found.attempt > mine.attempt:
            raise FencedError(
                f"{mine.folder} belongs to attempt {found.attempt}; this is {mine.attempt}"
            )
    for place in (mine.folder, mine.folder / RECORDS):
        remove_leftovers(place)
    write_identity(mine.folder, own)
    write_configuration(mine.folder, run)


def _in_use(mine: Claim, run: Work, fault: LockHeldError) -> Exception:
    if fault.holder.job_uid == mine.job_uid:
        return FencedError(f"{mine.folder} is still being written by {fault.holder}")
    if run.checkpoint.resume == "never":
        return _came_second(mine)
    way_out = "wait for it, or choose another output.to"
    return UserError(f"output.to: {mine.folder} is in use by {fault.holder}; {way_out}")


def _came_second(mine: Claim) -> FencedError:
    """Another job took the folder after `resolve` found it free; the next attempt will be given
    one beside it."""
    return FencedError(f"{mine.folder} was taken by another job just now")
