"""One request to the API server: its slot, its tries, its deadline, its count in the metrics.

Used by `lmjob.kube.client` alone. A request is tried again after 429, 5xx and lost connections: GET
by nature, DELETE because it names a uid, PUT because it names a resourceVersion (if the first try
went through, the second is a Conflict), POST because names are computed (AlreadyExists).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
from yarl import URL

import lmjob
from lmjob.kube import metrics
from lmjob.kube.credentials import Credentials
from lmjob.kube.errors import Unavailable, from_answer

Object = dict[str, Any]
Verb = Literal["get", "list", "create", "update", "delete"]

METHODS: Mapping[Verb, str] = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "update": "PUT",
    "delete": "DELETE",
}

CONNECT_SECONDS = 5.0
TRIES = 5
FIRST_PAUSE = 0.2
"""Seconds before the second try; doubles with each."""


@dataclass(frozen=True, kw_only=True)
class Request:
    verb: Verb
    kind: str
    """Plural, for the metrics."""
    path: str
    """With its query, quoted."""
    body: Object | None = None


class Transport:
    """Connections to one API server. `open` before use, `close` at the end."""

    def __init__(self, credentials: Credentials, *, slots: int, deadline: float) -> None:
        self._credentials = credentials
        self._slots = asyncio.Semaphore(slots)
        self._deadline = deadline
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        connector = aiohttp.TCPConnector(
            limit=0,  # the slots are the limit; a wait for them is not part of the deadline
            ssl=self._credentials.ssl_context(),
            keepalive_timeout=60.0,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={
                "User-Agent": f"lmjob-operator/{lmjob.__version__}",
                "Accept": "application/json",
                # Squeezing a list takes the server longer than sending it through a cluster.
                "Accept-Encoding": "identity",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._credentials.proxy_url,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> Object:
        """The answer's document. Raises a `RequestError`; returns within the deadline, which does
        not count the wait for the first slot."""
        body = _encoded(request.body)
        last: float | None = None
        tries = 0
        while True:
            tries += 1
            async with self._slots:
                last = last or time.monotonic() + self._deadline
                try:
                    return await self._once(request, body, last - time.monotonic())
                except Unavailable as error:
                    pause = _pause(tries, error.retry_after)
                    if tries == TRIES or time.monotonic() + pause >= last:
                        raise
            await asyncio.sleep(pause)

    async def _once(self, request: Request, body: bytes | None, seconds: float) -> Object:
        code = "none"
        try:
            answer, data = await self._exchange(request, body, seconds)
            code = str(answer.status)
            return _checked(request, answer, data)
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError, too
            raise Unavailable(_words(error)) from error
        finally:
            metrics.count_request(request.verb, request.kind, code)

    async def _exchange(
        self, request: Request, body: bytes | None, seconds: float
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        if self._session is None:
            raise RuntimeError("the client is not open: use it in `async with`")
        headers = self._credentials.headers()
        if body is not None:
            headers["Content-Type"] = "application/json"
        async with self._session.request(
            METHODS[request.verb],
            URL(self._credentials.server + request.path, encoded=True),
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=max(seconds, 0.001), sock_connect=CONNECT_SECONDS),
        ) as answer:
            return answer, await answer.read()


def _checked(request: Request, answer: aiohttp.ClientResponse, data: bytes) -> Object:
    document = _decoded(data)
    if answer.status >= 300:
        raise from_answer(request.verb, answer.status, document or {}, answer.headers)
    if document is None:
        raise Unavailable("the answer is no JSON object", code=answer.status)
    return document


def _encoded(body: Object | None) -> bytes | None:
    return None if body is None else json.dumps(body, separators=(",", ":")).encode()


def _decoded(data: bytes) -> Object | None:
    try:
        document = json.loads(data)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _pause(tries: int, retry_after: float | None) -> float:
    """Seconds before the next try: exponential, half to one and a half of it so that clients do
    not come back together, and never sooner than the server asked."""
    pause: float = FIRST_PAUSE * 2 ** (tries - 1) * random.uniform(0.5, 1.5)
    return pause if retry_after is None else max(retry_after, 0.0) + pause


def _words(error: BaseException) -> str:
    return f"the API server did not answer: {str(error) or type(error).__name__}"
