"""Where news of jobs and pods come in, from kopf's watches and from the resync, and become keys in
the queue if they may matter.

Most events change nothing: thinking about what is known is much cheaper than a look with its
requests, so a key is queued only when the thought is more than to wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

from lmjob.api.names import LABEL_JOB, LABEL_MANAGED_BY, MANAGER
from lmjob.core.decide import Wait
from lmjob.kube import metrics, plans
from lmjob.kube.client import Client
from lmjob.kube.kinds import JOBS, PODS
from lmjob.kube.observe import Sighting, sight
from lmjob.kube.queue import KeyedQueue
from lmjob.kube.reports import changed, counts
from lmjob.kube.view import Object, View, key_of, version_of
from lmjob.reconcile import think

PODS_OF_OURS = f"{LABEL_MANAGED_BY}={MANAGER}"
"""The label selector of every pod that the operator makes."""

BREATH = 20
"""Jobs that a resync thinks about before it lets others go on."""

_log = logging.getLogger(__name__)


class Desk:
    """Not for threads: everything happens in the event loop."""

    def __init__(self, queue: KeyedQueue, views: dict[str, View], trainer_image: str) -> None:
        self._queue = queue
        self._views = views
        self._image = trainer_image
        self.synced_at: float | None = None
        """Monotonic time of the last good resync."""

    def job_event(self, kind: str | None, body: Object) -> None:
        """A watch told of a job."""
        key = key_of(body["metadata"])
        view = self._views.get(key)
        if kind == "DELETED":
            if view is not None and view.uid == body["metadata"]["uid"]:
                self._drop(key)
            return
        self._take(key, body)

    def pod_event(self, kind: str | None, body: Object) -> None:
        """A watch told of a pod that looks like one of ours."""
        meta = body["metadata"]
        key = f"{meta.get('namespace', '')}/{(meta.get('labels') or {}).get(LABEL_JOB, '')}"
        view, found = self._views.get(key), sight(body)
        if view is None or found is None or found.job_uid != view.uid:
            return
        view.pods_version = max(view.pods_version, version_of(body))
        uid, before = found.replica.uid, view.sightings.get(found.replica.uid)
        if kind == "DELETED":
            view.sightings.pop(uid, None)
        else:
            view.sightings[uid] = found
        if kind == "DELETED" or before != found:
            self._consider(key, view, urgent=True)

    async def resync(self, client: Client, namespaces: Iterable[str | None]) -> None:
        """List everything, forget what is not there, and queue what may need a look."""
        for namespace in namespaces:
            await self._resync(client, namespace)
        self.synced_at = time.monotonic()
        metrics.set_jobs(counts(self._views.values()))

    async def _resync(self, client: Client, namespace: str | None) -> None:
        began = time.time()
        # New jobs need no pods to be begun. Bodies are not kept until the end: all would be large.
        jobs = dict(await client.list_each(JOBS, self._note, namespace))
        known = {view.uid: dict(view.sightings) for view in self._views.values()}
        pods = await client.list_each(PODS, sight, namespace, labels=PODS_OF_OURS)
        of_job: dict[str, dict[str, Sighting]] = {}
        for found in filter(None, pods):
            of_job.setdefault(found.job_uid, {})[found.replica.uid] = found
        for number, (uid, key) in enumerate(jobs.items()):
            if number % BREATH == 0:
                await asyncio.sleep(0)
            view = self._views.get(key)
            if view is not None and view.uid == uid:
                view.take_pods(known.get(uid, {}), of_job.get(uid, {}))
                self._consider(key, view, urgent=False)
        for key, view in tuple(self._views.items()):
            if view.uid not in jobs and view.seen_at < began and _in(view, namespace):
                self._drop(key)

    def _note(self, body: Object) -> tuple[str, str]:
        """Take a listed job; its UID and key."""
        key = key_of(body["metadata"])
        self._take(key, _with_kind(body), fresh_only=True)
        return str(body["metadata"]["uid"]), key

    def _take(self, key: str, body: Object, *, fresh_only: bool = False) -> None:
        view = self._views.get(key)
        if view is None or view.uid != body["metadata"]["uid"]:
            view = self._views[key] = View(key, body)
            view.seen_at = time.time()
            new = not view.status.get("attempt")
            if new or not fresh_only:
                self._queue.add(key, urgent=new)
        elif view.take_body(body) and not fresh_only:
            self._consider(key, view, urgent=True)

    def _consider(self, key: str, view: View, *, urgent: bool) -> None:
        if not self._is_settled(view):
            self._queue.add(key, urgent=urgent)

    def _is_settled(self, view: View) -> bool:
        """Whether a look would find nothing to do now."""
        if view.deleting or view.refused_version == version_of(view.body):
            return True
        try:
            plan = plans.planned(view, self._image)
            if plan is None:
                return False
            found = think(plan, view.recall(), view.observed(), time.time())
        except Exception:
            return False  # the look says what is wrong with it
        if not isinstance(found.decision, Wait) or changed(view, found.status) == "state":
            return False
        if found.decision.until is not None:
            self._queue.add_at(view.key, found.decision.until)
        if found.decision.reason == "Running":
            self._queue.add_at(view.key, time.time() + RUNNING_SECONDS)
        return True

    def _drop(self, key: str) -> None:
        self._views.pop(key, None)
        self._queue.forget(key)


RUNNING_SECONDS = 15.0
"""A job that runs is asked for its progress at least so often."""


def _in(view: View, namespace: str | None) -> bool:
    return namespace is None or view.namespace == namespace


def _with_kind(body: Any) -> Object:
    """Items of a listing come without them."""
    return {"apiVersion": JOBS.api_version, "kind": JOBS.kind, **body}
