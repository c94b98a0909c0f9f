"""The API server that KUBECONFIG names, for the tests of the operator's own client, and a wire
to it that a test can cut."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import pytest

from lmjob.kube.credentials import Credentials, load

REASON = "KUBECONFIG is not set; export the kubeconfig of a test cluster to run it"


def credentials() -> Credentials:
    return load(os.environ)


def needs_api_server() -> list[pytest.MarkDecorator]:
    """The marks of a module whose tests need an API server and nothing else."""
    absent = not os.environ.get("KUBECONFIG")
    return [pytest.mark.cluster, pytest.mark.skipif(absent, reason=REASON)]


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait for a condition, at most so long; how long it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + seconds, f"not within {seconds} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - begin


class Wire:
    """Carries bytes between a client and the API server, unless it is cut: then nothing passes and
    nothing is closed, as when a cable is pulled."""

    credentials: Credentials
    """Of a client that goes through it."""

    def __init__(self, through: Credentials) -> None:
        self._behind = through
        self._whole = asyncio.Event()
        self._whole.set()
        self._flows: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def lose_connections(self) -> None:
        """What is open hangs for ever; new connections work, as after a failover behind a balancer
        of loads."""
        self._whole.clear()
        self._whole = asyncio.Event()
        self._whole.set()

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.credentials = dataclasses.replace(self._behind, server=f"https://127.0.0.1:{port}")
        try:
            yield self
        finally:
            server.close()
            for flow in tuple(self._flows):
                flow.cancel()
            await asyncio.gather(*self._flows, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._flows.add(task)
        behind = urlsplit(self._behind.server)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._flows.discard, task)
            stack.push_async_callback(_ended, writer)
            there, back = await asyncio.open_connection(behind.hostname, behind.port)
            stack.push_async_callback(_ended, back)
            flows = [asyncio.ensure_future(_flow(reader, back, self._whole))]
            flows.append(asyncio.ensure_future(_flow(there, writer, self._whole)))
            try:
                await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for flow in flows:
                    flow.cancel()
                await asyncio.gather(*flows, return_exceptions=True)


async def _flow(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, whole: asyncio.Event
) -> None:
    while data := await source.read(65536):
        await whole.wait()
        sink.write(data)
        await sink.drain()


async def _ended(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
