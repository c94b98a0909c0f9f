"""The scripted kubelet: a node without a machine, whose pods do what the script of a test says.

It watches the pods that the scheduler binds to its node and reports their states as a kubelet does,
termination messages included. A group ends as training does: every pod of it was Ready, the leader
is the last to succeed, and nobody succeeds once one was lost. The leader proves its success by the
plan that it finds in the job's config map.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from lmjob.api.names import LABEL_JOB, LABEL_UID, plan_name
from lmjob.core.plan.shapes import JobPlan, StagePlan
from lmtrainer.config import parse
from lmtrainer.contract.exits import ExitType
from tests.cluster.harness import pods
from tests.cluster.harness.access import Access
from tests.cluster.harness.api import MERGE, path_of
from tests.cluster.harness.history import attempt_of, is_deleting, label, replica_of, uid
from tests.cluster.harness.scripts import Part, Play, Script, last_word, play

NODE = "scripted"

Group = tuple[str, int, str]
"""Job uid, attempt, stage."""


class Kubelet:
    """Lives in the harness loop. `plays` says by namespace what the pods do."""

    def __init__(self, access: Access) -> None:
        self.plays: dict[str, Play] = {}
        self._access = access
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._dying: set[str] = set()
        self._scripts: dict[str, Script] = {}
        """By pod: a script is not changed in the middle."""
        self._plans: dict[str, JobPlan] = {}
        self._members: dict[Group, set[str]] = defaultdict(set)
        """Pods that were Ready."""
        self._done: dict[Group, set[str]] = defaultdict(set)
        """Pods that succeeded."""
        self._changed = asyncio.Condition()
        self._addresses = 0

    async def run(self) -> None:
        """Until cancelled; survives an API server that goes away."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self._access.tls())
        headers = self._access.headers()
        async with aiohttp.ClientSession(connector=connector, headers=headers) as self._http:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError, ValueError):
                    await self._ask("POST", path_of("nodes"), pods.node(NODE))
                    await self._follow()
                await asyncio.sleep(0.2)

    async def _follow(self) -> None:
        address = f"{path_of('pods')}?fieldSelector=spec.nodeName={NODE}"
        found = await self._ask("GET", address)
        for pod in found["items"]:
            self._see(pod)
        version = found["metadata"]["resourceVersion"]
        async for event in self._watch(f"{address}&watch=1&resourceVersion={version}"):
            if event["type"] == "ERROR":
                return
            self._see(event["object"], gone=event["type"] == "DELETED")

    async def _watch(self, address: str) -> AsyncIterator[Any]:
        timeout = aiohttp.ClientTimeout(total=None)
        url = self._access.server + address
        async with self._http.get(url, timeout=timeout) as stream:
            rest = b""
            async for chunk in stream.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    def _see(self, pod: Any, gone: bool = False) -> None:
        name = uid(pod)
        if gone:
            self._end(name)
            self._dying.discard(name)
            self._scripts.pop(name, None)
        elif is_deleting(pod) and name not in self._dying:
            self._dying.add(name)
            self._end(name)
            self._lives[name] = asyncio.create_task(self._die(pod))
        elif name not in self._lives and pod["metadata"]["namespace"] in self.plays:
            self._lives[name] = asyncio.create_task(self._live(pod))

    def _end(self, name: str) -> None:
        if name in self._lives:
            self._lives.pop(name).cancel()

    async def _live(self, pod: Any) -> None:
        if pod["status"]["phase"] in ("Succeeded", "Failed"):
            return
        script = self._script(pod)
        await _sleep(script.starts_after)
        at_once = script.ready_after == 0.0
        address = self._address()
        await self._report(pod, pods.running(pod, address, ready=at_once))
        if not at_once:
            await _sleep(script.ready_after)
            await self._report(pod, pods.running(pod, address, ready=True))
        found = await self._plan(pod)
        if found is None:
            return
        plan, stage = found
        await self._among(self._members, pod, stage, len(stage.replicas))
        await _sleep(script.runs)
        if script.exit_type is not ExitType.SUCCEEDED:
            self._break(pod, stage)
        elif uid(pod) not in self._members[_group(pod, stage)]:
            await _sleep(None)
        elif replica_of(pod) == (stage.leader.role, 0):
            await self._among(self._done, pod, stage, len(stage.replicas))
        message = last_word(plan, stage, _part(pod), script.exit_type)
        await self._report(pod, pods.ended(pod, script.exit_type, message))
        await self._among(self._done, pod, stage, 0)

    async def _die(self, pod: Any) -> None:
        script = self._script(pod)
        found = await self._plan(pod)
        if pod["status"]["phase"] == "Running" and found is not None:
            plan, stage = found
            self._break(pod, stage)
            await _sleep(script.ends_after)
            message = last_word(plan, stage, _part(pod), ExitType.INTERRUPTED)
            await self._report(pod, pods.ended(pod, ExitType.INTERRUPTED, message))
        now = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid(pod)}}
        await self._ask("DELETE", _path(pod), now)

    def _script(self, pod: Any) -> Script:
        if uid(pod) not in self._scripts:
            do = self.plays.get(pod["metadata"]["namespace"], play())
            self._scripts[uid(pod)] = do(_part(pod))
        return self._scripts[uid(pod)]

    def _break(self, pod: Any, stage: StagePlan) -> None:
        """One of a group is lost: the others will not succeed any more."""
        self._members.pop(_group(pod, stage), None)

    async def _among(
        self, groups: dict[Group, set[str]], pod: Any, stage: StagePlan, count: int
    ) -> None:
        """Join a group and wait until so many are in it."""
        group = groups[_group(pod, stage)]
        async with self._changed:
            group.add(uid(pod))
            self._changed.notify_all()
            await self._changed.wait_for(lambda: len(group) >= count)

    async def _plan(self, pod: Any) -> tuple[JobPlan, StagePlan] | None:
        """None for a pod that only looks like one of a job."""
        job, role = label(pod, LABEL_UID), replica_of(pod)[0]
        if job not in self._plans:
            name = plan_name(label(pod, LABEL_JOB), job)
            found = await self._ask("GET", path_of("configmaps", _namespace(pod), name))
            if "data" not in found:
                return None
            self._plans[job] = parse(JobPlan, json.loads(found["data"]["plan.json"]))
        plan = self._plans[job]
        stages = (s for s in plan.stages if role in {replica.role for replica in s.replicas})
        return next(((plan, stage) for stage in stages), None)

    async def _report(self, pod: Any, patch: Any) -> None:
        guarded = {**patch, "metadata": {"uid": uid(pod)}}
        await self._ask("PATCH", f"{_path(pod)}/status", guarded, MERGE)

    async def _ask(
        self, verb: str, path: str, body: Any = None, content: str = "application/json"
    ) -> Any:
        """Again while the server does not answer; a refusal is an answer."""
        url = self._access.server + path
        data = None if body is None else json.dumps(body)
        while True:
            try:
                asked = self._http.request(verb, url, data=data, headers={"Content-Type": content})
                async with asked as answer:
                    if answer.status < 500 and answer.status != 429:
                        return await answer.json()
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(0.2)

    def _address(self) -> str:
        """Of the loopback: whoever asks a scripted pod is refused at once."""
        self._addresses += 1
        high, low = divmod(self._addresses, 250)
        return f"127.77.{high % 250}.{low + 1}"


def _part(pod: Any) -> Part:
    role, index = replica_of(pod)
    return role, index, attempt_of(pod)


def _group(pod: Any, stage: StagePlan) -> Group:
    return label(pod, LABEL_UID), attempt_of(pod), stage.name


def _namespace(pod: Any) -> str:
    found: str = pod["metadata"]["namespace"]
    return found


def _path(pod: Any) -> str:
    return path_of("pods", _namespace(pod), pod["metadata"]["name"])


async def _sleep(seconds: float | None) -> None:
    """None: until cancelled."""
    await (asyncio.sleep(seconds) if seconds is not None else asyncio.Event().wait())
