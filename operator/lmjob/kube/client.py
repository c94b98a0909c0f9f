"""The operator's client of the API server: JSON over a pool of connections, typed errors.

Thin on purpose: requests are what an operator exists for, and no other library of Kubernetes stands
between. Used by everything in `lmjob.kube` that reads or writes objects; kopf has its own watches.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

from lmjob.kube.credentials import Credentials
from lmjob.kube.errors import Conflict, Expired, NotFound
from lmjob.kube.kinds import Kind
from lmjob.kube.transport import Object, Request, Transport

T = TypeVar("T")

SLOTS = 64
"""Requests in flight, and so connections."""
DEADLINE_SECONDS = 15.0
"""Of a call with all its tries."""
PAGE = 100
"""Objects of a listing that are in memory at once, as text and as values: half a megabyte each."""


class Client:
    """All calls raise `lmjob.kube.errors`: `Unavailable` after a few tries within the deadline,
    `Refused` with the server's words. Use it in `async with`.

    What must never wait behind a burst (the lease) gets a client of its own."""

    def __init__(
        self, credentials: Credentials, *, slots: int = SLOTS, deadline: float = DEADLINE_SECONDS
    ) -> None:
        self._transport = Transport(credentials, slots=slots, deadline=deadline)

    async def __aenter__(self) -> Self:
        self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object, or None if there is none of this name."""
        try:
            return await self._transport.send(
                Request(verb="get", kind=kind.plural, path=kind.path(namespace, name))
            )
        except NotFound:
            return None

    async def list_all(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", limit: int = PAGE
    ) -> list[Object]:
        """Every object of a kind in a namespace, or (None) in all, that matches the label
        selector: one consistent state, read page by page. Items have no apiVersion and kind."""
        return await self.list_each(kind, _itself, namespace, labels=labels, limit=limit)

    async def list_each(
        self,
        kind: Kind,
        take: Callable[[Object], T],
        namespace: str | None = None,
        *,
        labels: str = "",
        limit: int = PAGE,
        at_least: int = 0,
    ) -> list[T]:
        """As `list_all`, with what `take` makes of each object, so that only one page of whole
        objects is in memory at a time. If the state expires while it is read, all is read anew,
        and then in one piece, which cannot expire; `take` may so be called more than once.

        `at_least`: any state from this resource version on will do. A server answers that from
        memory at once, where the newest state may take it 100 ms to be sure of."""
        base = {"labelSelector": labels} if labels else {}
        if at_least:
            known = {"resourceVersion": str(at_least), "resourceVersionMatch": "NotOlderThan"}
            return await self._pages(kind, take, namespace, {**base, **known})
        try:
            return await self._pages(kind, take, namespace, {**base, "limit": str(limit)})
        except Expired:
            return await self._pages(kind, take, namespace, base)

    async def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """The object as stored. Raises AlreadyExists, also if an earlier try whose answer was lost
        went through; NotFound if the namespace is gone."""
        return await self._transport.send(
            Request(verb="create", kind=kind.plural, path=kind.collection(namespace), body=body)
        )

    async def update(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        """Replace an object if it is still the one that was read. Raises Conflict, NotFound, and
        ValueError without a resourceVersion."""
        return await self._put(kind, kind.path(namespace, name), body)

    async def replace_status(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        """Replace the status of an object if it is still the one that was read. The server ignores
        the rest of `body`, but for a pod's metadata. Raises as `update`."""
        return await self._put(kind, kind.path(namespace, name, "/status"), body)

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str, grace_seconds: int | None = None
    ) -> bool:
        """Ask for the end of this very object; 0 seconds of grace removes it at once, None is the
        object's own. False if it is gone or another object has its name."""
        body: dict[str, Any] = {"preconditions": {"uid": uid}}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        path = kind.path(namespace, name)
        try:
            await self._transport.send(
                Request(verb="delete", kind=kind.plural, path=path, body=body)
            )
        except NotFound:
            return False
        except Conflict:
            # Says either that the uid differs or that the server lost a race of its own.
            there = await self.get(kind, namespace, name)
            if there is None or there["metadata"]["uid"] != uid:
                return False
            raise
        return True

    async def _put(self, kind: Kind, path: str, body: Object) -> Object:
        if not body.get("metadata", {}).get("resourceVersion"):
            raise ValueError("metadata.resourceVersion is missing: a write must name what it read")
        return await self._transport.send(
            Request(verb="update", kind=kind.plural, path=path, body=body)
        )

    async def _pages(
        self,
        kind: Kind,
        take: Callable[[Object], T],
        namespace: str | None,
        query: dict[str, str],
    ) -> list[T]:
        found: list[T] = []
        more = ""
        while True:
            asked = urlencode({**query, "continue": more} if more else query)
            path = f"{kind.collection(namespace)}?{asked}"
            page = await self._transport.send(Request(verb="list", kind=kind.plural, path=path))
            found.extend(map(take, page.get("items") or ()))
            more = page.get("metadata", {}).get("continue") or ""
            if not more:
                return found


def _itself(item: Object) -> Object:
    return item
