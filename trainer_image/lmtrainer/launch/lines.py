"""Follows what a user's own program says about its progress, and tells it like a stage of ours.
Caller: `node`, on the leader, in its loop.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from lmtrainer.contract.command import PROGRESS_LINES, Line, read_line
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.contract.reports import Position, Progress
from lmtrainer.progress import RankReports

LOOK_SECONDS = 0.5
"""Between two looks at the file."""

MAX_BYTES = 1 << 20
"""Read at one look; what is left waits for the next one."""

PHASE = "command"


class Lines:
    """The lines of one attempt, summed up. `now` is Unix time."""

    def __init__(self, node: NodeEnvironment) -> None:
        self._path = Path(node.node_dir) / PROGRESS_LINES
        self._reports = RankReports(node.node_dir, 0)
        self._progress = Progress(
            job_uid=node.job_uid, attempt=node.attempt, stage="train", activity=PHASE
        )
        self._read = 0
        self._next = 0.0
        self._first: tuple[float, int] | None = None
        self._told_at: float | None = None
        self._copied: tuple[int, int] | None = None

    def silence(self, now: float) -> float:
        """Seconds since the last line; 0 before the first one."""
        return 0.0 if self._told_at is None else now - self._told_at

    @property
    def step(self) -> int:
        """The last that it told."""
        return self._progress.done

    def look(self, now: float, *, last: bool = False) -> None:
        """Read what is new, at most now and then, and tell it; `last`: all of it, at once."""
        if now < self._next and not last:
            return
        self._next = now + LOOK_SECONDS
        before = self._progress
        while block := self._block():
            for text in block.decode("utf-8", "replace").split("\n"):
                line = read_line(text)
                if line is not None:
                    self._progress = self._after(line, now)
            if not last:
                break
        if self._progress is not before:
            self._told_at = now
            self._tell()

    def copying(self, done: int, total: int) -> None:
        """It has ended well, and so many bytes of its results are copied; `total` 0: not known yet.
        Called often, tells each change."""
        if (done, total) != self._copied:
            self._copied = done, total
            self._tell()

    def _tell(self) -> None:
        told = self._progress
        if self._copied is not None:
            done, total = self._copied
            told = dataclasses.replace(
                told,
                activity="copy results",
                unit="bytes",
                done=done,
                total=total or None,
                position=None,  # no step can be lost any more
                kept=1,  # its end
                eta_seconds=None,
                tokens_per_second=None,
            )
        self._reports.progress(told)

    def _block(self) -> bytes:
        """Whole lines behind those that were read; one of MAX_BYTES or more comes in parts, which
        are no lines of ours."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                block = file.read(MAX_BYTES)
        except OSError:
            return b""
        end = block.rfind(b"\n") + 1 or (len(block) if len(block) == MAX_BYTES else 0)
        self._read += end
        return block[:end]

    def _after(self, line: Line, now: float) -> Progress:
        before = self._progress
        step = before.done if line.step is None else line.step
        if line.step is not None and self._first is None:
            self._first = (now, line.step)
        changes = {
            "done": step,
            "total": line.total,
            "position": None if line.step is None else _position(step),
            "loss": line.loss,
            "learning_rate": line.learning_rate,
            "tokens_per_second": line.tokens_per_second,
            "durable": None if line.checkpoint is None else _position(line.checkpoint),
            "first_step_at": before.first_step_at or (now if line.step else None),
        }
        known = {name: value for name, value in changes.items() if value is not None}
        found = dataclasses.replace(before, **known)  # type: ignore[arg-type]
        return dataclasses.replace(found, eta_seconds=self._eta(found, line, now))

    def _eta(self, found: Progress, line: Line, now: float) -> float | None:
        """As the program says, else from the steps of this attempt so far."""
        if line.eta_seconds is not None or found.total is None or self._first is None:
            return line.eta_seconds
        begun, first = self._first
        if found.done <= first or now <= begun:
            return found.eta_seconds
        return max(0, found.total - found.done) * (now - begun) / (found.done - first)


def _position(step: int) -> Position:
    return Position(phase_index=0, step=step, phase=PHASE)
