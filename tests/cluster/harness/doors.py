"""A door: the only way of one operator to the API server, and where its faults are made.

Plain HTTP in, TLS and credentials out. It counts the operator's writes, leases left out, and can
kill the operator just before the k-th of them reaches the server or just after the server has
answered and nobody was told; answer a write itself; drop, repeat or change events of watches; hang;
and refuse connections, as a server that is down.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakSet

import aiohttp
from aiohttp import web

from tests.cluster.harness.access import Access

When = Literal["before", "after"]
Events = Callable[[Any], Iterable[Any]]

_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_HOPS = (
    "host",
    "connection",
    "transfer-encoding",
    "content-length",
    "authorization",
    "accept-encoding",
)
_PLAIN = {"Accept-Encoding": "identity"}
_BACK = ("content-type", "retry-after")


@dataclass(frozen=True)
class Write:
    """A write of the operator, in the order of arrival."""

    number: int
    """From 1."""
    verb: str
    path: str
    body: Any = field(repr=False, default=None)


@dataclass
class Faults:
    """What goes wrong at a door; may be changed while it is open."""

    kill_at: int = 0
    """Number of the write; 0: none."""
    kill_when: When = "before"
    kill: Callable[[], None] | None = None
    answers: dict[int, int] = field(default_factory=dict)
    """Number of a write -> the status that it gets instead of reaching the server."""
    events: Events | None = None
    """What becomes of an event: none, itself, itself twice, another one."""


class Door:
    """Open it in the harness loop; `address` is what the operator is told."""

    def __init__(self, access: Access) -> None:
        self.faults = Faults()
        self.writes: list[Write] = []
        self.verbs: set[tuple[str, str]] = set()
        """Every verb and resource that was asked for, as RBAC names them."""
        self.address = ""
        self._access = access
        self._flows = asyncio.Event()
        self._flows.set()
        self._runner: web.AppRunner | None = None
        self._transports: WeakSet[asyncio.Transport] = WeakSet()
        self._port = 0

    async def open(self) -> None:
        """Also after `shut`, at the same address."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self._access.tls())
        self._http = aiohttp.ClientSession(connector=connector)
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.address = f"http://127.0.0.1:{self._port}"

    async def shut(self) -> None:
        """As a server that goes down: open streams end, new connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            for transport in self._transports:
                transport.abort()
            await self._http.close()
            self._runner = None

    async def hang(self) -> None:
        """Answer nothing until `flow`."""
        self._flows.clear()

    async def flow(self) -> None:
        """The end of `hang`."""
        self._flows.set()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            self._transports.add(request.transport)
        await self._flows.wait()
        return await self._take(request)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        resource, named = _resource(request.path)
        self.verbs.add((_verb(request, named), resource))
        body = await request.read()
        write = None
        if request.method in _WRITES and resource != "leases":
            write = Write(
                len(self.writes) + 1, _WRITES[request.method], request.path, _decoded(body)
            )
            self.writes.append(write)
            self._perhaps_kill(write, "before")
            if write.number in self.faults.answers:
                return _refusal(self.faults.answers[write.number])
        return await self._forward(request, body, write)

    def _perhaps_kill(self, write: Write, when: When) -> None:
        faults = self.faults
        if (write.number, when) == (faults.kill_at, faults.kill_when) and faults.kill:
            faults.kill()
            raise web.HTTPServiceUnavailable

    async def _forward(
        self, request: web.Request, body: bytes, write: Write | None
    ) -> web.StreamResponse:
        url = self._access.server + request.raw_path
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOPS}
        headers |= self._access.headers() | _PLAIN
        timeout = aiohttp.ClientTimeout(total=None)
        asked = self._http.request(
            request.method, url, data=body or None, headers=headers, timeout=timeout
        )
        try:
            async with asked as answer:
                if "watch" in request.query:
                    return await self._stream(request, answer)
                text = await answer.read()
        except (aiohttp.ClientError, OSError):
            raise web.HTTPServiceUnavailable from None
        if write is not None:
            self._perhaps_kill(write, "after")
        return web.Response(status=answer.status, body=text, headers=_kept(answer.headers))

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_kept(answer.headers))
        await response.prepare(request)
        rest = b""
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            async for chunk in answer.content.iter_any():
                await self._flows.wait()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    await response.write(self._events(line))
        return response

    def _events(self, line: bytes) -> bytes:
        if self.faults.events is None:
            return line + b"\n"
        found = self.faults.events(json.loads(line))
        return b"".join(json.dumps(event).encode() + b"\n" for event in found)


def _resource(path: str) -> tuple[str, bool]:
    """`pods`, `lmtrainingjobs/status`, ... of an address, and whether it names one object."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if len(parts) > 2 and parts[0] == "namespaces":
        parts = parts[2:]
    kind = parts[0] if parts else "(discovery)"
    return (f"{kind}/{parts[2]}" if len(parts) > 2 else kind), len(parts) > 1


def _verb(request: web.Request, named: bool) -> str:
    if request.method != "GET":
        return _WRITES.get(request.method, request.method.lower())
    if "watch" in request.query:
        return "watch"
    return "get" if named else "list"


def _refusal(status: int) -> web.Response:
    reasons = {404: "NotFound", 409: "Conflict", 403: "Forbidden", 422: "Invalid"}
    body = {"kind": "Status", "status": "Failure", "code": status, "message": "made by the test"}
    return web.json_response({**body, "reason": reasons.get(status, "")}, status=status)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() in _BACK}


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None
