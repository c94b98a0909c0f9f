"""Exit types: why a node ended, in one closed set. The exit code carries it, and so does the
termination message."""

from __future__ import annotations

from enum import Enum


class ExitType(Enum):
    """(exit code, may another attempt help?). Codes keep clear of 1-2 and of 128 + signal."""

    SUCCEEDED = (0, False)
    FAILED = (70, True)
    """A rank ended with an error of its own; the first error is in the termination message."""
    USER_ERROR = (65, False)
    """The configuration or the data cannot be used as they are: the same again would fail again."""
    INTERRUPTED = (75, True)
    """Asked to end (SIGTERM): state was saved if there was any."""
    FENCED = (76, True)
    """A newer attempt, or another run, owns the rendezvous or the output folder."""
    RENDEZVOUS_FAILED = (69, True)
    """The group did not form in time, or its store went away."""
    DISK_FULL = (74, True)
    """A write failed for want of space or by an I/O error; older checkpoints are intact."""
    KILLED = (71, True)
    """A rank was killed by a signal that the launcher did not send."""
    HUNG = (73, True)
    """A rank gave no sign of life for too long; the message names it, and where it stood."""
    PEER_LOST = (72, True)
    """A rank ended because another node's rank did."""

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def retryable(self) -> bool:
        return self.value[1]

    @classmethod
    def from_code(cls, code: int) -> ExitType:
        """The type of an exit code; death by a signal (negative, or 128 + n) is KILLED."""
        for member in cls:
            if member.code == code:
                return member
        return cls.KILLED if code < 0 or code > 128 else cls.FAILED
