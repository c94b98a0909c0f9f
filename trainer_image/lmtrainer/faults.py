"""Faults that end a process in a known way; anything else raised is a failure of its own."""

from __future__ import annotations

import errno

from lmtrainer.contract.exits import ExitType


class UserError(Exception):
    """The configuration or the data cannot be used; the message says what, and the way out."""


class FencedError(Exception):
    """A newer attempt, or another run, owns what this process was about to write or join."""


class InterruptedRunError(Exception):
    """Asked to end (SIGTERM); what there was to save has been saved."""


class RendezvousError(Exception):
    """The group did not form in time, or its store went away."""


class PeerLostError(Exception):
    """Another rank does not answer."""


class HungRankError(Exception):
    """A rank of this node does not go on."""

    def __init__(self, message: str, *, rank: int) -> None:
        super().__init__(message)
        self.rank = rank


_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})


def exit_type(error: BaseException) -> ExitType:
    """The exit type that an exception stands for."""
    by_class = {
        UserError: ExitType.USER_ERROR,
        FencedError: ExitType.FENCED,
        InterruptedRunError: ExitType.INTERRUPTED,
        RendezvousError: ExitType.RENDEZVOUS_FAILED,
        PeerLostError: ExitType.PEER_LOST,
        HungRankError: ExitType.HUNG,
    }
    for kind, found in by_class.items():
        if isinstance(error, kind):
            return found
    if isinstance(error, OSError) and error.errno in _DISK:
        return ExitType.DISK_FULL
    return ExitType.FAILED
