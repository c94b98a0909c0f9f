"""Requests and watches of the benchmark's own processes: JSON over aiohttp, and nothing else.

Used by the driver that measures, by the floor, and for the driver's preparations.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp

from tests.cluster.harness.access import Access
from tests.cluster.harness.api import MERGE

BUSY_TRIES = 20
"""A server that has just started, or has taken a new definition, asks for patience."""


class RequestError(Exception):
    """The API server refused; `status` is its code."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:300]}")
        self.status = status


class Api:
    """Requests of one process. `async with`."""

    def __init__(self, access: Access, agent: str, slots: int = 64) -> None:
        self._access = access
        self._agent = agent
        self._slots = asyncio.Semaphore(slots)

    async def __aenter__(self) -> Api:
        headers = {**self._access.headers(), "User-Agent": self._agent}
        connector = aiohttp.TCPConnector(limit=0, ssl=self._access.tls())
        self._http = aiohttp.ClientSession(
            connector=connector, headers=headers, read_bufsize=1 << 20
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def send(
        self, verb: str, path: str, body: str | None = None, content: str = "application/json"
    ) -> Any:
        """The answer. RequestError if the server refuses."""
        for _ in range(BUSY_TRIES):
            try:
                return await self._once(verb, path, body, content)
            except RequestError as error:
                if error.status != 429:
                    raise
            await asyncio.sleep(1.0)
        return await self._once(verb, path, body, content)

    async def _once(self, verb: str, path: str, body: str | None, content: str) -> Any:
        async with (
            self._slots,
            self._http.request(
                verb, self._access.server + path, data=body, headers={"Content-Type": content}
            ) as answer,
        ):
            data = await answer.read()
            if answer.status >= 300:
                raise RequestError(answer.status, data.decode(errors="replace"))
            return json.loads(data)

    async def create(self, path: str, body: Any) -> Any:
        return await self.send("POST", path, json.dumps(body))

    async def patch(self, path: str, body: Any) -> Any:
        return await self.send("PATCH", path, json.dumps(body), MERGE)

    async def follow(self, path: str, labels: str = "") -> AsyncIterator[tuple[str, Any]]:
        """(type, object) of everything there is and then of every change, for ever."""
        chosen = f"labelSelector={labels}&" if labels else ""
        found = await self.send("GET", f"{path}?{chosen}")
        for item in found["items"]:
            yield "ADDED", item
        version = found["metadata"]["resourceVersion"]
        while True:
            async for event in self._watch(f"{path}?{chosen}watch=1&resourceVersion={version}"):
                if event["type"] == "ERROR":
                    raise RequestError(event["object"].get("code", 0), str(event["object"]))
                version = event["object"]["metadata"]["resourceVersion"]
                yield event["type"], event["object"]

    async def _watch(self, path: str) -> AsyncIterator[Any]:
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._http.get(self._access.server + path, timeout=timeout) as stream:
            lines = Lines()
            async for chunk in stream.content.iter_any():
                for line in lines.feed(chunk):
                    yield json.loads(line)


class Lines:
    """Splits a stream into lines without copying the unfinished one again and again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield b"".join([*self._parts, line])
            self._parts = []
        if rest:
            self._parts.append(rest)


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
