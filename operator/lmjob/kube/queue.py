"""The operator's work queue: keys in, one look at a time for each, many keys at once.

Events, the resync and timers add keys (`namespace/name` of a job); `run` gives them to the handler.
Its order and back-off are `lmjob.kube.schedule`'s.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from lmjob.kube import metrics
from lmjob.kube.errors import RequestError
from lmjob.kube.schedule import Schedule

Handler = Callable[[str], Awaitable[float | None]]
"""Looks at a key; returns the Unix time of the next look, or None if only an event can matter."""

_log = logging.getLogger(__name__)


class KeyedQueue(Schedule):
    """Survives every exception of the handler: it is logged once, its key is backed off (at least
    the error's `retry_after` seconds, if it has any) and no other key waits for it."""

    def __init__(self, **clocks: Callable[[], float]) -> None:
        super().__init__(**clocks)
        self._wake = asyncio.Event()

    def changed(self) -> None:
        self._wake.set()

    async def run(self, handler: Handler, concurrency: int) -> None:
        """Give keys to the handler, until cancelled: then looks in work are broken off, and their
        keys are due again when `run` is called anew."""
        tasks: set[asyncio.Task[None]] = set()

        def ended(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            self._wake.set()

        try:
            while True:
                self._wake.clear()
                while len(tasks) < concurrency and (key := self.take()) is not None:
                    task = asyncio.create_task(self._look(handler, key), name=f"look at {key}")
                    tasks.add(task)
                    task.add_done_callback(ended)
                await self._wait(self.next_due() if len(tasks) < concurrency else None)
        finally:
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.give_back()

    async def _wait(self, seconds: float | None) -> None:
        """Until something changed, or this time has passed."""
        timer = None
        if seconds is not None:
            timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _look(self, handler: Handler, key: str) -> None:
        try:
            look_at = _time(await handler(key))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._log_and_back_off(key, error)  # cancelled by itself: a failure like any other
        except Exception as error:
            self._log_and_back_off(key, error)
        else:
            self.done(key, look_at)

    def _log_and_back_off(self, key: str, error: BaseException) -> None:
        metrics.count_failure()
        if isinstance(error, RequestError):
            _log.warning("%s: %s: %s", key, type(error).__name__, error)
        else:
            _log.error("%s: the look at it failed", key, exc_info=error)
        self.failed(key, getattr(error, "retry_after", None) or 0.0)


def _time(look_at: Any) -> float | None:
    """What a handler returned, checked: another value would stay in the queue's order for ever."""
    if look_at is None or (isinstance(look_at, int | float) and math.isfinite(look_at)):
        return look_at
    raise TypeError(f"the handler returned {look_at!r} instead of a Unix time or None")
