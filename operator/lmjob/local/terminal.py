"""What a person sees while a job runs: bars in a terminal, plain lines everywhere else.

Called by `lmjob.local.run`; refreshed only from its loop, because a thread of its own would break
the tie between the launchers and the thread that started them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from lmjob.core.events import Event
from lmjob.core.plan.shapes import JobPlan, ReplicaKey
from lmjob.core.report import Status

REFRESH_SECONDS = 0.25
LINE_SECONDS = 10.0
"""Least time between two plain lines about the same activity."""


class Terminal(Protocol):
    """Where a run tells what it does."""

    def line(self, text: str) -> None:
        """Say something at once."""

    def show(self, status: Status) -> None:
        """Show how far the job is, if it is time to."""

    def close(self) -> None:
        """Leave what was shown last."""


def tell(terminal: Terminal, event: Event) -> None:
    """Say an event; a failure of the whole job is told at the end, with its way out."""
    if event.reason != "Failed":
        terminal.line(f"{'warning: ' if event.warning else ''}{event.message}")


def tell_start(terminal: Terminal, key: ReplicaKey) -> None:
    terminal.line(f"{key} started")


def open_terminal(plan: JobPlan, console: Console) -> Terminal:
    return Bars(plan, console) if console.is_terminal else Lines(console)


class Bars:
    """One bar for each stage."""

    def __init__(self, plan: JobPlan, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description:9}"),
            BarColumn(),
            TextColumn("{task.fields[count]}", style="green"),
            TextColumn("{task.fields[detail]}"),
            console=console,
            auto_refresh=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._drawn: dict[str, Mapping[str, Any]] = {}
        self._names = [stage.name for stage in plan.stages]
        self._shown_at = 0.0
        self._last: Status | None = None
        self._bars.start()

    def line(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)
        self._bars.refresh()

    def show(self, status: Status) -> None:
        self._last = status
        now = time.monotonic()
        if now >= self._shown_at + REFRESH_SECONDS:
            self._shown_at = now
            self._update(status)
            self._bars.refresh()

    def close(self) -> None:
        if self._last is not None:
            self._update(self._last)
        self._bars.stop()

    def _update(self, status: Status) -> None:
        for name in self._names[: self._names.index(status["stage"])]:
            self._finish(name)
        if status["attempt"]:
            self._draw(status["stage"], status.get("progress", {}))
        if any(c["type"] == "Complete" and c["status"] == "True" for c in status["conditions"]):
            self._finish(status["stage"])

    def _draw(self, name: str, progress: Mapping[str, Any], words: str = "") -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=None, count="", detail="")
        self._drawn[name] = progress
        self._bars.update(
            self._tasks[name],
            completed=progress.get("done", 0),
            total=progress.get("total"),
            count=count(progress),
            detail=words or detail(progress),
        )

    def _finish(self, name: str) -> None:
        """The last progress that was told may stand just before the end."""
        if name in self._tasks:
            total = self._drawn[name].get("total") or 1
            self._draw(name, {**self._drawn[name], "done": total, "total": total}, "done")


class Lines:
    """A line when the activity changes, and one now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._activity: tuple[str, str] = ("", "")
        self._shown_at = 0.0

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, status: Status) -> None:
        progress = status.get("progress", {})
        activity = (str(status["stage"]), str(progress.get("activity", "")))
        now = time.monotonic()
        if not activity[1] or (activity == self._activity and now < self._shown_at + LINE_SECONDS):
            return
        self._activity, self._shown_at = activity, now
        self.line(f"{activity[0]}: {count(progress)}, {detail(progress)}")

    def close(self) -> None:
        pass


def count(progress: Mapping[str, Any]) -> str:
    """How much of how much, in the unit of the stage."""
    done, total, unit = progress.get("done"), progress.get("total"), progress.get("unit", "")
    if done is None:
        return ""
    numbers = [done] if total is None else [done, total]
    if unit == "bytes":
        return f"{'/'.join(f'{number / 1e6:,.1f}' for number in numbers)} MB"
    return f"{'/'.join(f'{number:,}' for number in numbers)} {unit}".strip()


def detail(progress: Mapping[str, Any]) -> str:
    """What stands beside a bar: activity, loss, speed and the time left."""
    parts = [str(progress.get("activity", "starting"))]
    if "loss" in progress:
        parts.append(f"loss {progress['loss']:.3f}")
    if "tokensPerSecond" in progress:
        parts.append(f"{progress['tokensPerSecond']:,.0f} tokens/s")
    if "etaSeconds" in progress:
        minutes, seconds = divmod(round(progress["etaSeconds"]), 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return ", ".join(part for part in parts if part)
