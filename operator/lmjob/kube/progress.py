"""Asks the launcher of a job's leader how far it is. One that does not answer tells nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from lmjob.api.names import STATUS_PORT
from lmjob.core.memory import Memory
from lmjob.core.plan.shapes import JobPlan
from lmjob.kube.observe import Sighting
from lmjob.kube.view import View
from lmtrainer.contract.reports import PROGRESS_PATH, Progress, load

POLL_SECONDS = 1.5
"""Least time between two questions to one leader."""
TIMEOUT_SECONDS = 2.0
MAX_BYTES = 1 << 20


class Poller:
    """Asks beside the looks, which never wait for a node. Use it in `async with`; `tell` is called
    with the key of a job whose progress is new."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Poller:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        # One short question every few seconds: connections that are kept would only go stale.
        connector = aiohttp.TCPConnector(limit=64, force_close=True)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in tuple(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._session.close()

    def ask(self, view: View, plan: JobPlan, memory: Memory) -> None:
        """Begin to bring the view's progress up to date, if its leader runs, was not asked just now
        and owes no answer."""
        now = time.time()
        leader = leader_of(view, plan, memory)
        running = leader is not None and leader.replica.state == "ready"
        if not running or leader is None or not leader.ip or now < view.polled_at + POLL_SECONDS:
            return
        if view.uid not in self._asking:
            view.polled_at = now
            task = asyncio.create_task(self._bring(view, leader.ip), name=f"progress {view.key}")
            self._asking[view.uid] = task

    async def _bring(self, view: View, ip: str) -> None:
        try:
            found = await self._get(ip)
        finally:
            self._asking.pop(view.uid, None)
        if found is not None and found.job_uid == view.uid:
            view.progress = found
            self._tell(view.key)

    async def _get(self, ip: str) -> Progress | None:
        host = f"[{ip}]" if ":" in ip else ip
        try:
            async with self._session.get(f"http://{host}:{STATUS_PORT}{PROGRESS_PATH}") as answer:
                text = await answer.content.read(MAX_BYTES)
                return load(Progress, text.decode()) if answer.status == 200 else None
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, TypeError):
            return None


def leader_of(view: View, plan: JobPlan, memory: Memory) -> Sighting | None:
    """The leader of the current attempt and stage, if its pod is there."""
    key = plan.stage(memory.stage).leader.key
    found = (
        s
        for s in view.sightings.values()
        if (s.job_uid, s.replica.attempt, s.replica.key) == (view.uid, memory.attempt, key)
    )
    return next(found, None)
