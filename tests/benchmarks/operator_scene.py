"""What the benchmark does itself while a subject works: posts jobs, ends prepare pods, takes times.

Times are those at which a watch of this process brought an event, by the monotonic clock; the order
of events is that of their resource versions.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lmjob.api.names import LABEL_INDEX, LABEL_JOB, LABEL_ROLE, PLURAL
from tests.benchmarks.operator_api import Api, RequestError, cancelled
from tests.benchmarks.operator_floor import is_ready
from tests.benchmarks.operator_pods import PARTS, WORKERS, prepared
from tests.cluster.harness.api import path_of

GROUP = tuple(f"{role}-{index}" for role, index in PARTS[1:])


@dataclass
class PodTimes:
    made: float
    ready: float | None = None
    ready_version: int = 0
    ended: float | None = None


@dataclass
class JobTimes:
    """Of one job; None: not yet."""

    posted: float
    pods: dict[str, PodTimes] = field(default_factory=dict)
    running: float | None = None
    running_version: int = 0
    invalid: bool = False

    def pod(self, part: str) -> PodTimes | None:
        return self.pods.get(part)

    @property
    def all_made(self) -> float | None:
        """When the last pod of the group appeared."""
        found = [self.pods.get(part) for part in GROUP]
        return max(p.made for p in found if p) if all(found) else None

    @property
    def all_ready(self) -> float | None:
        times = [pod.ready for part in GROUP if (pod := self.pods.get(part))]
        known = [t for t in times if t is not None]
        return max(known) if len(known) == WORKERS + 1 else None

    @property
    def running_too_soon(self) -> bool:
        """Running was said before all pods of the group were Ready."""
        if not self.running_version:
            return False
        ready = [pod.ready_version for part in GROUP if (pod := self.pods.get(part))]
        return len(ready) < WORKERS + 1 or not all(0 < v < self.running_version for v in ready)


class Scene:
    """One namespace with one subject at work. `async with`."""

    def __init__(
        self, api: Api, namespace: str, *, alive: Callable[[], bool], says_running: bool
    ) -> None:
        self.api = api
        self.says_running = says_running
        self._alive = alive
        self.namespace = namespace
        self.jobs: dict[str, JobTimes] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Scene:
        for follow in (self._follow_pods(), self._follow_jobs()):
            self._tasks.append(asyncio.create_task(follow))
        await asyncio.sleep(0.3)
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancelled(*self._tasks)

    async def post(self, body: Any) -> None:
        name = body["metadata"]["name"]
        text = json.dumps(body)
        self.jobs[name] = JobTimes(time.monotonic())
        await self.api.send("POST", path_of(PLURAL, self.namespace), text)

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait for something that the watches bring; false if it does not come in time."""
        last = time.monotonic() + seconds
        while not holds():
            if not self._alive():
                raise RuntimeError("the subject has ended; see its log")
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), max(0.0, last - time.monotonic()))
            except TimeoutError:
                return False
            for task in self._tasks:
                if task.done():
                    task.result()
        return True

    async def _follow_pods(self) -> None:
        async for kind, pod in self.api.follow(path_of("pods", self.namespace), LABEL_JOB):
            if kind != "DELETED":
                self._see_pod(pod, time.monotonic())

    def _see_pod(self, pod: Any, now: float) -> None:
        meta, status = pod["metadata"], pod.get("status", {})
        labels = meta["labels"]
        job = self.jobs.get(labels[LABEL_JOB])
        if job is None:
            return
        part = f"{labels[LABEL_ROLE]}-{labels[LABEL_INDEX]}"
        times = job.pods.setdefault(part, PodTimes(now))
        if times.ready is None and is_ready(pod):
            times.ready, times.ready_version = now, int(meta["resourceVersion"])
            if labels[LABEL_ROLE] == "prepare":
                self._tasks.append(asyncio.create_task(self._end(pod)))
        if times.ended is None and status.get("phase") in ("Succeeded", "Failed"):
            times.ended = now
        self._changed.set()

    async def _end(self, pod: Any) -> None:
        meta = pod["metadata"]
        word = prepared(meta["ownerReferences"][0]["uid"])
        marks = {"fake/exit-code": "0", "fake/message": word}
        path = path_of("pods", self.namespace, meta["name"])
        try:
            await self.api.patch(path, {"metadata": {"annotations": marks}})
        except RequestError as error:
            if error.status != 404:
                raise

    async def _follow_jobs(self) -> None:
        async for kind, body in self.api.follow(path_of(PLURAL, self.namespace)):
            times = self.jobs.get(body["metadata"]["name"])
            if times is None or kind == "DELETED":
                continue
            status = body.get("status") or {}
            if times.running is None and says_running(status):
                times.running = time.monotonic()
                times.running_version = int(body["metadata"]["resourceVersion"])
            times.invalid = times.invalid or _reason(status) == "InvalidSpec"
            self._changed.set()


def says_running(status: Any) -> bool:
    """Of the stage that trains."""
    return status.get("stage") == "train" and _reason(status) == "Running"


def _reason(status: Any) -> str:
    found = (c for c in status.get("conditions") or () if c["type"] == "Ready")
    return str(next(found, {}).get("reason", ""))
