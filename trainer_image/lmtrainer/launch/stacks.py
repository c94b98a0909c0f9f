"""Where a rank stands when it gives no sign of life: its own stack, asked for by a signal.

A rank registers the signal with faulthandler, whose handler is C: it answers while the rank waits
in an exchange or computes. One that was stopped does not answer. Callers: `rank`, `ranks`, `node`.
"""

from __future__ import annotations

import faulthandler
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.contract.reports import stack_file

SIGNAL = signal.SIGUSR1
ANSWER_SECONDS = 1.0
"""How long the answer may take."""

MAX_FRAMES = 6
"""Of a stack, that a message tells."""

_FRAME = re.compile(r'  File "(?P<file>[^"]*)", line (?P<line>\d+) in (?P<name>.*)')
_WAITING = re.compile(r"torch/distributed/|_engine_run_backward|parallel/exchange\.py")
"""Of a rank that waits for others: it is in an exchange, or in a backward pass that ends in one."""


@dataclass(frozen=True)
class Stack:
    """Of the main thread of a rank, innermost frame first; empty if it did not answer."""

    frames: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Is it in an exchange with other ranks?"""
        return any(_WAITING.search(frame) for frame in self.frames[:MAX_FRAMES])

    def __str__(self) -> str:
        if not self.frames:
            return "it does not even tell where it stands, as when it was stopped"
        return "it stands at " + ", called by ".join(self.frames[:MAX_FRAMES])


def answer(folder: Path, rank: int) -> None:
    """From now on this process writes its stack into the node's folder when it is asked to."""
    file = (folder / stack_file(rank)).open("w", encoding="utf-8")
    faulthandler.register(SIGNAL, file=file, all_threads=True, chain=False)


def can_answer(folder: Path, rank: int) -> bool:
    """One that has not said so, such as a program of the user's own, would die of the signal."""
    return (folder / stack_file(rank)).exists()


def read(folder: Path, rank: int) -> Stack:
    """The last answer of a rank."""
    try:
        text = (folder / stack_file(rank)).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Stack()
    threads = re.split(r"(?m)^(?=(?:Current t|T)hread )", text)
    mains = [thread for thread in threads if "in <module>" in thread or "run_rank" in thread]
    return Stack(tuple(_frames(mains[-1]))) if mains else Stack()


def _frames(thread: str) -> list[str]:
    found = (_FRAME.fullmatch(line) for line in thread.splitlines())
    return [f"{_short(m['file'])}:{m['line']} {m['name']}" for m in found if m]


def _short(path: str) -> str:
    """Without the folders that are the same for every file of a package."""
    return re.sub(r".*/(?:site-packages|trainer_image|lib/python[\d.]+)/", "", path)
