"""Carries a job out on this machine: passes of `reconcile` until it is done, failed or at rest.

Called by `lmjob.cli.run`, in the main thread: signals arrive there, and launchers die with it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console

from lmjob.core.decide import Decision, Wait
from lmjob.core.memory import Memory
from lmjob.local.backend import PROGRAM, Audience, LocalBackend
from lmjob.local.store import Stored
from lmjob.local.terminal import Terminal, open_terminal, tell, tell_start
from lmjob.reconcile import reconcile

POLL_SECONDS = 0.08
PATIENCE = 3
"""So many times Ctrl-C kills what the first one asked to save and end."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """How often the user asked to stop, and by what."""

    def __init__(self) -> None:
        self.count = 0
        self.signal = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.signal = self.signal or number

    @property
    def impatient(self) -> bool:
        return self.count >= PATIENCE


def run_job(
    output: Path,
    stored: Stored,
    *,
    claims: Mapping[str, str],
    suspend: bool = False,
    console: Console | None = None,
    program: Sequence[str] = PROGRAM,
) -> tuple[Memory, int]:
    """Carry out the job of a locked output folder until it is complete, failed or suspended.

    Returns what was claimed last, and the signal that stopped it, or 0.
    """
    terminal = open_terminal(stored.plan, console or Console())
    audience = Audience(
        tell=partial(tell, terminal),
        show=terminal.show,
        started=partial(tell_start, terminal),
    )
    backend = LocalBackend(output, stored, claims=claims, audience=audience, program=program)
    interrupts = Interrupts()
    with _noted(interrupts):
        try:
            _loop(stored, backend, terminal, interrupts, suspend=suspend)
        finally:
            backend.kill()
            terminal.close()
    return backend.memory, interrupts.signal


def _loop(
    stored: Stored,
    backend: LocalBackend,
    terminal: Terminal,
    interrupts: Interrupts,
    *,
    suspend: bool,
) -> None:
    told = 0
    while not interrupts.impatient:
        backend.suspend = suspend or interrupts.count > 0
        if interrupts.count > told:
            told = interrupts.count
            terminal.line(_patience(told))
        decision = reconcile(stored.plan, backend, time.time())
        if _is_over(decision):
            return
        if isinstance(decision, Wait):
            time.sleep(POLL_SECONDS)
    terminal.line("killed; what was saved before is kept")


def _is_over(decision: Decision) -> bool:
    return isinstance(decision, Wait) and decision.reason in ("Finished", "Suspended")


def _patience(count: int) -> str:
    if count == 1:
        return "stopping: the trainer saves and ends"
    return "still saving; once more kills it, and the work since the last checkpoint is lost"


@contextmanager
def _noted(interrupts: Interrupts) -> Iterator[None]:
    """Count signals instead of dying of them; under nohup the loss of the terminal is none."""
    wanted = [n for n in _SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    before: dict[int, Callable[..., object] | int | None] = {
        number: signal.signal(number, interrupts.note) for number in wanted
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
