"""The operator's process: settings, signals, the election, and what the leader does.

`lmjob-operator`. Everything runs in one event loop; the leader's part is a task that is cancelled
when the lease is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

from lmjob import __version__
from lmjob.kube import metrics
from lmjob.kube.client import Client
from lmjob.kube.credentials import Credentials, CredentialsError, load
from lmjob.kube.desk import Desk
from lmjob.kube.errors import RequestError
from lmjob.kube.health import Health
from lmjob.kube.http import serve
from lmjob.kube.lease import LeaseSettings, elect
from lmjob.kube.look import Looks
from lmjob.kube.progress import Poller
from lmjob.kube.queue import KeyedQueue
from lmjob.kube.settings import Settings, SettingsError, read_settings
from lmjob.kube.view import View
from lmjob.kube.watch import watch
from lmtrainer.contract.exits import ExitType

GARBAGE = 10_000
"""New containers between two searches for cycles among the young."""
RESYNC_RETRY_SECONDS = 1.0
"""After the first resync that failed; doubles with each."""
RESYNC_REST = 9.0
"""A resync rests for so many times as long as it took, so that a busy server does little else."""
FIRST_RESYNC_SECONDS = 2.0
"""The first resync waits for the watches to begin, but not for longer."""
LISTINGS_SECONDS = 0.05
"""Watches begin one after the other: one resync will do for all of them."""

_log = logging.getLogger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    try:
        settings = read_settings(os.environ)
        credentials = load(os.environ)
    except (SettingsError, CredentialsError) as error:
        print(f"lmjob-operator: {error}", file=sys.stderr)
        return ExitType.USER_ERROR.code
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("kopf").setLevel(logging.WARNING)
    _collect_seldom()
    asyncio.run(run(settings, credentials))
    return ExitType.SUCCEEDED.code


def _collect_seldom() -> None:
    """Documents of the API are trees, which go with their last reference: to look for cycles in
    them after each 700 new parts, as is the default, took twice as long as to parse them."""
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)


async def run(settings: Settings, credentials: Credentials) -> None:
    """Stand by, lead, stand by again; ends when a signal asks for it."""
    stop = asyncio.Event()
    _obey_signals(stop)
    health = Health(
        resync_bound=max(120.0, 5 * settings.resync_seconds),
        look_bound=max(120.0, 5 * settings.lease_seconds),
    )
    lease = LeaseSettings(
        namespace=settings.lease_namespace or credentials.namespace,
        name=settings.lease_name,
        identity=settings.identity,
        seconds=settings.lease_seconds,
    )
    async with (
        serve(health, settings.http_port) as port,
        Client(credentials, slots=2, deadline=settings.lease_seconds) as lease_client,
    ):
        _log.info("lmjob-operator %s answers on port %d", __version__, port)

        async def lead() -> None:
            try:
                with health.leading():
                    await Leader(settings, credentials, health, stop).lead()
            finally:
                _obey_signals(stop)  # kopf took them to itself

        await _until(stop, elect(lease_client, lease, lead, on_look=health.looked))


def _obey_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends or a stop is asked for."""
    doing = asyncio.ensure_future(work)
    asked = asyncio.ensure_future(stop.wait())
    await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if doing.done():
        doing.result()
        return
    doing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await doing


class Leader:
    """What the leader does: resync, watch, look. Everything that it knows goes with it."""

    def __init__(
        self, settings: Settings, credentials: Credentials, health: Health, stop: asyncio.Event
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._health = health
        self._stop = stop
        self._queue = KeyedQueue()
        self._views: dict[str, View] = {}
        self._listed = asyncio.Event()
        self._desk = Desk(self._queue, self._views, settings.trainer_image)
        metrics.watch_queue(lambda: self._queue.depth, lambda: self._queue.oldest)

    async def lead(self) -> None:
        """Until cancelled."""
        settings = self._settings
        async with (
            Client(self._credentials) as client,
            Poller(self._queue.add) as poller,
            asyncio.TaskGroup() as group,
        ):
            looks = Looks(
                client,
                poller,
                self._views,
                settings.trainer_image,
                busy=lambda: self._queue.busy,
            )
            group.create_task(self._queue.run(looks.look, settings.concurrency))
            watching = watch(
                self._desk,
                self._credentials,
                settings.namespaces,
                listed=self._listed.set,
                stop=self._stop.set,
            )
            group.create_task(watching)
            group.create_task(self._resync_for_ever(client))

    async def _resync_for_ever(self, client: Client) -> None:
        """At times, and whenever a watch has begun: what came before that, only a resync tells."""
        pause = RESYNC_RETRY_SECONDS
        await self._until_listed(FIRST_RESYNC_SECONDS)
        while True:
            self._listed.clear()
            began = time.monotonic()
            try:
                await self._desk.resync(client, self._settings.namespaces or (None,))
            except RequestError as error:
                _log.warning("no resync: %s", error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, self._settings.resync_seconds)
                continue
            pause = RESYNC_RETRY_SECONDS
            self._health.resynced()
            took = time.monotonic() - began
            usual = self._settings.resync_seconds
            await self._until_listed(min(max(usual, RESYNC_REST * took), 2 * usual))

    async def _until_listed(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._listed.wait(), seconds)
        await asyncio.sleep(LISTINGS_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
