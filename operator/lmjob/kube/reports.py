"""When a job's status is written, and what for: news, in their turn, and why nothing goes on.

A claim writes the status by itself and at once. All else waits, as a write costs the API server
more than the creation of a pod does. Callers: `look`, which carries out what was decided; `desk`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from lmjob.core.memory import Memory
from lmjob.core.report import Status, is_hindered, stalled
from lmjob.kube.acts import Acts
from lmjob.kube.fetch import Fetch
from lmjob.kube.view import View

WRITE_SECONDS = 4.0
"""Least time between two writes of a job that claim nothing: of states that pass sooner nobody
needs to know."""
BUSY_WRITE_SECONDS = 60.0
"""The same while many other jobs wait for their look: most of what is left out has changed by then.
What somebody may have to help with does not wait for so long."""
BUSY_HELP_SECONDS = 8.0
PROGRESS_SECONDS = 15.0
"""Least time between two writes that change only the progress."""
MAX_TOLD = 8192
"""Longest message of a condition, in characters."""


class Reports:
    """Writes of a status that claim nothing. `busy`: whether many jobs wait for their look."""

    def __init__(self, acts: Acts, fetch: Fetch, busy: Callable[[], bool]) -> None:
        self._acts = acts
        self._fetch = fetch
        self._busy = busy

    async def report(self, view: View, memory: Memory, status: Status) -> float | None:
        """Write the status if it says something new and the last write was not just now; else the
        time at which it may be written."""
        change, now = changed(view, status), time.time()
        if change is None:
            return None
        if change == "progress":
            due = again = view.progress_at + PROGRESS_SECONDS
        else:
            due = view.written_at + self._spacing(status)
            again = min(due, now + WRITE_SECONDS)  # it may be calm by then
        if now < due:
            return again
        await self._acts.write(view, memory, status)
        return None

    async def tell_stalled(
        self, view: View, reason: Literal["InvalidSpec", "OperatorError"], message: str
    ) -> None:
        """Tell why nothing is done for the job any more, until something changes."""
        if not view.refreshed:
            await self._fetch.refresh(view)
        status = stalled(reason, message[:MAX_TOLD], time.time(), view.status)
        if changed(view, status) is not None:
            await self._acts.write(view, Memory(), status)

    async def tell_error(self, view: View, error: Exception) -> None:
        """A defect of ours, or an object that nobody thought of: it must show in the job itself,
        and may not hide the error that is about to be logged."""
        with contextlib.suppress(Exception):
            await self.tell_stalled(view, "OperatorError", f"{type(error).__name__}: {error}")

    def _spacing(self, status: Status) -> float:
        if not self._busy():
            return WRITE_SECONDS
        return BUSY_HELP_SECONDS if is_hindered(status) else BUSY_WRITE_SECONDS


def changed(view: View, new: Status) -> str | None:
    """What a report would change: "progress", "state" or None."""
    old = view.status
    if {**old, **new, "progress": None} != {**old, "progress": None}:
        return "state"
    if old.get("observedGeneration") != view.generation:
        return "state"
    return "progress" if new.get("progress") != old.get("progress") else None


def counts(views: Iterable[View]) -> dict[str, int]:
    """How many jobs are in each state, in the words of the Ready condition."""
    found: dict[str, int] = {}
    for view in views:
        conditions = view.status.get("conditions") or ()
        ready: Mapping[str, Any] = next((c for c in conditions if c.get("type") == "Ready"), {})
        state = str(ready.get("reason") or "Pending")
        found[state] = found.get(state, 0) + 1
    return found
