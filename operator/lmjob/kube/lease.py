"""One leader among the replicas of the operator, elected on a Lease. Caller: `lmjob.kube.main`.

A leader whose renewals fail stops its work at `renew_deadline`, counted from when it sent the last
good one; others wait the whole lease from when they saw that one. So two never lead at a time,
whatever their wall clocks say, unless a leader is frozen and thawed between two of its steps or
somebody deletes the Lease. What a leader writes must bear that, and does: every write names what
it read, or has a computed name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from lmjob.kube import metrics
from lmjob.kube.client import Client
from lmjob.kube.election import LeaseSettings, Sighting, next_look, released, sight, taken
from lmjob.kube.errors import AlreadyExists, Conflict, NotFound, RequestError
from lmjob.kube.kinds import LEASES

__all__ = ["LeaseSettings", "LeadershipError", "elect"]

_log = logging.getLogger(__name__)


class LeadershipError(Exception):
    """The leader's work did not stop when leadership was lost: the process must end."""


async def elect(
    client: Client,
    settings: LeaseSettings,
    on_lead: Callable[[], Awaitable[None]],
    *,
    on_look: Callable[[], None] = lambda: None,
) -> None:
    """Stand by until the lease is ours, run `on_lead` while it is, and stand by again when it was
    lost, for ever. Ends when `on_lead` ends by itself (with its exception, if any), or when it is
    cancelled; the lease is then released. `on_look` is called after each good look at the lease.

    The client must not be shared with work that may fill its slots. Raises LeadershipError."""
    candidate = _Candidate(client, settings, on_look)
    while True:
        renewed = await candidate.stand_by()
        _log.info("%s leads", settings.identity)
        if await candidate.lead(on_lead, renewed):
            return
        _log.warning("%s leads no longer", settings.identity)


class _Candidate:
    """What one process knows of the lease."""

    def __init__(
        self, client: Client, settings: LeaseSettings, on_look: Callable[[], None]
    ) -> None:
        self._client = client
        self._settings = settings
        self._on_look = on_look
        self._seen: Sighting | None = None
        self._troubled = False

    async def stand_by(self) -> float:
        """Until the lease is ours; when the request was sent that made it so (monotonic)."""
        while True:
            sent = time.monotonic()
            if await self._try(self._settings.renew_deadline):
                return sent
            await asyncio.sleep(next_look(self._seen, self._settings, time.monotonic()))

    async def lead(self, on_lead: Callable[[], Awaitable[None]], renewed: float) -> bool:
        """True if the work ended by itself, False if the lease was lost before."""
        work = asyncio.ensure_future(on_lead())
        metrics.set_leading(True)
        try:
            await self._renew_during(work, renewed)
        except BaseException:
            await self._stop(work)
            await self._release()
            raise
        finally:
            metrics.set_leading(False)
        if not work.done():
            await self._stop(work)
            return False
        await self._release()
        work.result()
        return True

    async def _renew_during(self, work: asyncio.Future[None], renewed: float) -> None:
        """Until the work ends, somebody else holds the lease, or the deadline is over."""
        pause = self._settings.renew_seconds
        while (left := renewed + self._settings.renew_deadline - time.monotonic()) > 0:
            done, _ = await asyncio.wait({work}, timeout=min(pause, left))
            if done:
                return
            sent = time.monotonic()
            if await self._try(renewed + self._settings.renew_deadline - sent):
                renewed, pause = sent, self._settings.renew_seconds
            elif self._held_by_another():
                return
            else:
                pause = self._settings.retry_seconds

    async def _try(self, seconds: float) -> bool:
        """Take or renew the lease; False if it is not ours, or nobody knows. One dead connection
        takes half of the deadline at most."""
        try:
            async with asyncio.timeout(min(seconds, self._settings.renew_deadline / 2)):
                ours = await self._take()
        except (RequestError, TimeoutError) as error:
            self._log_trouble(str(error) or "no answer in time")
            return False
        self._log_trouble("")
        self._on_look()
        return ours

    def _log_trouble(self, words: str) -> None:
        """Once for a trouble, and once for its end."""
        if bool(words) != self._troubled:
            name = self._settings.name
            _log.warning("no look at the lease %s: %s", name, words or "that is over")
        self._troubled = bool(words)

    async def _take(self) -> bool:
        place = (LEASES, self._settings.namespace, self._settings.name)
        if self._seen is None or self._seen.holder != self._settings.identity:
            await self._look()
        seen = self._seen
        try:
            if seen is None:
                body = taken(self._settings, None, time.time())
                lease = await self._client.create(LEASES, self._settings.namespace, body)
            elif seen.free_at(self._settings) <= time.monotonic():
                body = taken(self._settings, seen.lease, time.time())
                lease = await self._client.update(*place, body)
            else:
                return False
        except (AlreadyExists, Conflict, NotFound):
            await self._look()  # somebody was faster, or our own write of which no answer came
            return False
        self._seen = sight(lease, seen, time.monotonic())
        return True

    async def _look(self) -> None:
        lease = await self._client.get(LEASES, self._settings.namespace, self._settings.name)
        now = time.monotonic()
        self._seen = sight(lease, self._seen, now) if lease is not None else None

    def _held_by_another(self) -> bool:
        return self._seen is not None and self._seen.holder != self._settings.identity

    async def _stop(self, work: asyncio.Future[None]) -> None:
        """End the work within the part of the lease that is left for it."""
        work.cancel()
        left = self._settings.seconds - self._settings.renew_deadline
        _, pending = await asyncio.wait({work}, timeout=left)
        if pending:
            raise LeadershipError("leadership was lost and the leader's work did not end in time")
        if not work.cancelled() and (error := work.exception()) is not None:
            _log.error("the leader's work failed while it was stopped", exc_info=error)

    async def _release(self) -> None:
        """Let another lead at once; without an answer it waits out the lease."""
        if self._seen is None or self._held_by_another():
            return
        place = (LEASES, self._settings.namespace, self._settings.name)
        with contextlib.suppress(RequestError, TimeoutError):
            async with asyncio.timeout(self._settings.renew_seconds):
                await self._client.update(*place, released(self._seen.lease, time.time()))
                self._seen = None
