"""The HTTP session that kopf's watches go through: its listings bring nothing.

A watch begins with a listing, which kopf handles object by object as if each were news: with 5,000
pods that is seconds in which nothing else is done. The resync lists the same, keeps little of it
and gives way; so a listing of kopf only fetches the version that its watch goes on from, and asks
for a resync. Used by `lmjob.kube.watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from yarl import URL

from lmjob.kube.credentials import Credentials

NOBODY = "metadata.name=-"
"""A field selector of one object that cannot be there: this is no name."""


class Session:
    """What kopf uses of an `aiohttp.ClientSession`. `listed` is called after each listing."""

    def __init__(
        self, credentials: Credentials, collections: tuple[str, ...], listed: Callable[[], None]
    ) -> None:
        """`collections`: plurals of the kinds whose listings are left empty."""
        self._credentials = credentials
        self._ends = tuple(f"/{plural}" for plural in collections)
        self._listed = listed
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=credentials.ssl_context()),
            proxy=credentials.proxy_url,
        )

    @property
    def headers(self) -> Any:
        """Sent with each request; kopf adds its name."""
        return self._http.headers

    @property
    def closed(self) -> bool:
        return self._http.closed

    async def close(self) -> None:
        await self._http.close()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> aiohttp.ClientResponse:
        """As aiohttp's, with the token of this moment."""
        target, ours = URL(url), self._credentials.headers()
        lists = target.path.endswith(self._ends) and "watch" not in target.query
        if lists:
            target = target.update_query(fieldSelector=NOBODY)
        answer = await self._http.request(
            method, target, headers={**(headers or {}), **ours}, **options
        )
        if lists:
            self._listed()
        return answer
