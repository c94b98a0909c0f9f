"""Asks the launcher of a job's leader how far it is. One that does not answer tells nothing."""

from __future__ import annotations

import time

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
    """Use it in `async with`."""

    async def __aenter__(self) -> Poller:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        # One short question every few seconds: connections that are kept would only go stale.
        connector = aiohttp.TCPConnector(limit=64, force_close=True)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, view: View, plan: JobPlan, memory: Memory) -> bool:
        """Bring the view's progress up to date, if its leader runs and was not asked just now; says
        whether it told anything."""
        now = time.time()
        leader = leader_of(view, plan, memory)
        running = leader is not None and leader.replica.state == "ready"
        if not running or leader is None or not leader.ip or now < view.polled_at + POLL_SECONDS:
            return False
        view.polled_at = now
        found = await self._get(leader.ip)
        if found is None or found.job_uid != view.uid:
            return False
        view.progress = found
        return True

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
