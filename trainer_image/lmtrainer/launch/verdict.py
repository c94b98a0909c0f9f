"""Why a node ended: endings of its ranks -> exit type and first error. Pure.

An ending counts as a cause unless the launcher had asked that rank to end before. Of the causes the
earliest is the first error, except that a rank which lost a peer comes after one with an error of
its own, even if it was quicker to notice.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Completion, Failure
from lmtrainer.launch.stacks import Stack


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one rank ended, as far as the launcher can tell."""

    rank: int
    code: int
    """Exit code; -n for death by signal n."""
    at: float
    """Unix time of the rank's error file; without one, when its end was seen."""
    message: str = ""
    """Of the error file."""
    exception: str = ""
    asked_at: float | None = None
    """Unix time at which the launcher asked it to end."""
    sent: frozenset[int] = frozenset()
    """Signals that the launcher sent to it."""
    stack: Stack | None = None
    """Where it stood before it was killed; None if it was not asked."""

    @property
    def hung(self) -> bool:
        """The launcher had to kill it, and it was not waiting for others."""
        killed = self.code == -signal.SIGKILL and signal.SIGKILL in self.sent
        return killed and self.stack is not None and not self.stack.waits

    @property
    def exit_type(self) -> ExitType:
        return ExitType.KILLED if self.code < 0 else ExitType.from_code(self.code)

    @property
    def is_cause(self) -> bool:
        if self.code == 0:
            return False
        killed_by_others = self.code < 0 and -self.code not in self.sent
        return killed_by_others or self.asked_at is None or self.at < self.asked_at


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What else is known when a node has ended."""

    leads: bool
    """Rank 0 is here, so the proof of success must be."""
    interrupted: bool = False
    """A signal to the launcher, not a rank, began the end."""
    grace_seconds: float = 0.0
    completion: Completion | None = None
    completion_fault: str = "rank 0 left no completion record"
    """Why there is no completion that can be used."""
    fault: tuple[ExitType, Failure] | None = None
    """What went wrong in the launcher itself."""


def judge(endings: Sequence[Ending], situation: Situation) -> tuple[ExitType, Failure | None]:
    """Exit type of the node, and its first error."""
    causes = [ending for ending in endings if ending.is_cause]
    first = min(causes, key=_urgency, default=None)
    if situation.interrupted:
        return _interrupted(endings, first, situation)
    if first is not None:
        hung = next((ending for ending in endings if ending.hung), None)
        if hung is not None and first.exit_type is ExitType.PEER_LOST:
            # What the others lost was this one.
            return ExitType.HUNG, describe(hung)
        return first.exit_type, describe(first)
    if situation.fault is not None:
        return situation.fault
    return _finished(situation)


def _urgency(ending: Ending) -> tuple[bool, float, int]:
    return ending.exit_type is ExitType.PEER_LOST, ending.at, ending.rank


def _interrupted(
    endings: Sequence[Ending], first: Ending | None, situation: Situation
) -> tuple[ExitType, Failure | None]:
    """An end that was asked for is one, whatever else went wrong on the way; only a proof of
    success is stronger."""
    if endings and situation.leads and all(ending.code == 0 for ending in endings):
        exit_type, _ = _finished(situation)
        if exit_type is ExitType.SUCCEEDED:
            return exit_type, None
    trouble = first or next((ending for ending in endings if _is_trouble(ending)), None)
    if trouble is None:
        return ExitType.INTERRUPTED, None
    failure = describe(trouble)
    if trouble.code == -signal.SIGKILL and signal.SIGKILL in trouble.sent:
        message = (
            f"rank {trouble.rank} was still running {situation.grace_seconds:g} s after SIGTERM "
            f"and was killed; what it had not saved by then is lost{_stood(trouble)}"
        )
        failure = dataclasses.replace(failure, message=message)
    return ExitType.INTERRUPTED, failure


def _is_trouble(ending: Ending) -> bool:
    """Asked to end, it did not do so in a regular way."""
    return ending.code not in (0, ExitType.INTERRUPTED.code, -signal.SIGTERM)


def _finished(situation: Situation) -> tuple[ExitType, Failure | None]:
    """All ranks exited 0; on the leader's node that alone proves nothing."""
    if not situation.leads:
        return ExitType.SUCCEEDED, None
    completion = situation.completion
    if completion is None:
        fault = situation.completion_fault
    elif not completion.proves_success:
        fault = f"the completion record stands at {completion.position}, not {completion.target}"
    else:
        return ExitType.SUCCEEDED, None
    return ExitType.FAILED, Failure(message=f"every rank exited 0, but {fault}", exit_code=0)


def describe(ending: Ending) -> Failure:
    """A rank's ending in words."""
    killer = -ending.code if ending.code < 0 else None
    if killer is not None:
        message = f"rank {ending.rank} was killed by signal {_signal_name(killer)}"
        if killer == signal.SIGKILL:
            asked = signal.SIGKILL in ending.sent
            message += (
                _stood(ending) if asked else "; often the machine or the pod was out of memory"
            )
    else:
        message = f"rank {ending.rank} exited with code {ending.code}"
    if ending.message:
        message = f"rank {ending.rank}: {ending.message}"
    elif killer is None:
        message += " and left no error file; its output may tell more"
    return Failure(
        message=message,
        rank=ending.rank,
        exception=ending.exception,
        signal=killer,
        exit_code=None if killer is not None else ending.code,
    )


def _stood(ending: Ending) -> str:
    return f"; {ending.stack}" if ending.stack is not None else ""


def _signal_name(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)
