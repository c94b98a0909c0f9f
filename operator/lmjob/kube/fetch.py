"""Reads a job and its pods from the API server, and brings a view up to date. Caller: `look`."""

from __future__ import annotations

import asyncio

from lmjob.api.names import LABEL_UID
from lmjob.kube.client import Client
from lmjob.kube.kinds import JOBS, PODS
from lmjob.kube.observe import sight
from lmjob.kube.view import View, version_of


class Fetch:
    """`views` is everybody's."""

    def __init__(self, client: Client, views: dict[str, View]) -> None:
        self._client = client
        self._views = views

    async def read(self, key: str) -> View | None:
        """Read job and pods afresh; None if the job is gone."""
        namespace, _, name = key.partition("/")
        body = await self._client.get(JOBS, namespace, name)
        if body is None:
            self._views.pop(key, None)
            return None
        view = self._views.get(key)
        if view is None or view.uid != body["metadata"]["uid"]:
            view = self._views[key] = View(key, body)
        view.take_body(body)
        await self.pods(view)
        view.refreshed = True
        return view

    async def refresh(self, view: View, *, newest: bool = True) -> None:
        """The same for a job that is known, both at once. Not `newest`: pods as this process knows
        them, or newer, will do."""
        body, _ = await asyncio.gather(
            self._client.get(JOBS, view.namespace, view.name),
            self.pods(view, newest=newest),
        )
        if body is None or body["metadata"]["uid"] != view.uid:
            self._views.pop(view.key, None)
            return
        view.take_body(body)
        view.refreshed = True

    async def pods(self, view: View, *, newest: bool = True) -> None:
        before = dict(view.sightings)
        found = await self._client.list_each(
            PODS,
            lambda pod: (sight(pod), version_of(pod)),
            view.namespace,
            labels=f"{LABEL_UID}={view.uid}",
            at_least=0 if newest else view.pods_version,
        )
        view.take_pods(before, {s.replica.uid: s for s, _ in found if s is not None})
        view.pods_version = max(view.pods_version, *(version for _, version in found), 0)
