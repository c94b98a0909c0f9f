"""Carries out what was decided: creates and deletes a job's objects, writes its status, tells.

Every write may be repeated: names are computed, deletes name a UID, the status names the state that
it replaces. Caller: `look`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from lmjob.api import names
from lmjob.core.decide import Act
from lmjob.core.events import Event
from lmjob.core.memory import Memory
from lmjob.core.plan.shapes import JobPlan, ReplicaPlan, StagePlan
from lmjob.core.report import Status
from lmjob.core.words import timestamp
from lmjob.kube.client import Client
from lmjob.kube.errors import AlreadyExists, Refused, RequestError
from lmjob.kube.kinds import CONFIG_MAPS, EVENTS, JOBS, PODS, SERVICES, Kind
from lmjob.kube.observe import sight
from lmjob.kube.progress import leader_of
from lmjob.kube.view import Draft, Object, View, version_of
from lmjob.render import manifests
from lmtrainer.config import document

ROUTINE = frozenset({"AttemptStarted", "StageStarted", "GroupFormed", "Suspending"})
"""Events that the conditions tell as well, at no write of their own."""

MAX_NOTE = 1024
"""Longest message of an Event, in characters."""


class TakenError(Refused):
    """An object of a computed name is there and belongs to somebody else."""


class Acts:
    """Writes to the API server, and keeps the view in step with their answers."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def claim(self, view: View, plan: JobPlan, memory: Memory, status: Status) -> None:
        """Store claims if the job is still as it was read; the plan is frozen beside the first one.
        Raises Conflict."""
        before = view.recall().memory
        doing = [self.write(view, memory, status)]
        if memory.attempt and not before.attempt:
            frozen = manifests.config_map(plan)  # raises before anything is claimed
            name = frozen["metadata"]["name"]
            doing.append(self._ensure(view, CONFIG_MAPS, name, lambda: frozen))
        if (memory.attempt, memory.stage) != (before.attempt, before.stage):
            doing.append(self._draft(view, plan, memory))
        await asyncio.gather(*doing)

    async def write(self, view: View, memory: Memory, status: Status) -> None:
        """Replace the status."""
        body = view.document(memory, document(memory), status)
        stored = await self._client.replace_status(JOBS, view.namespace, view.name, body)
        view.take_body(stored)
        view.written_at = time.time()
        if status.get("progress"):
            view.progress_at = view.written_at

    async def act(self, view: View, plan: JobPlan, memory: Memory, act: Act) -> None:
        """End and create replicas. Raises Refused with the server's words."""
        ends = [self._end(view, uid, 0) for uid in act.force]
        ends += [self._end(view, uid, round(act.grace_seconds)) for uid in act.delete]
        await asyncio.gather(*ends)
        if act.create:
            stage = plan.stage(memory.stage)
            wanted = [replica for replica in stage.replicas if replica.key in act.create]
            await self._create(view, plan, memory, stage, wanted)

    async def tell(self, view: View, told: Iterable[Event]) -> None:
        """Post events about the job. One that is refused is lost: the conditions tell it."""
        for event in told:
            if event.reason not in ROUTINE:
                body = _event(view, event, time.time())
                with contextlib.suppress(RequestError):
                    await self._client.create(EVENTS, view.namespace, body)

    async def _draft(self, view: View, plan: JobPlan, memory: Memory) -> None:
        """Render the pod of the leader, which comes next, while the server stores the claim."""
        await asyncio.sleep(0)  # the claim is sent first
        view.draft = _drawn(plan, memory, plan.stage(memory.stage).leader, None)

    async def _create(
        self,
        view: View,
        plan: JobPlan,
        memory: Memory,
        stage: StagePlan,
        wanted: Iterable[ReplicaPlan],
    ) -> None:
        frozen = names.plan_name(view.name, view.uid)
        await self._ensure(view, CONFIG_MAPS, frozen, lambda: manifests.config_map(plan))
        if any(replica.key != stage.leader.key for replica in wanted):
            # The leader knows itself by another way; the name of one that is ready costs the
            # cluster half of what it costs to follow it there. Before the followers: when all of
            # them are there, nobody asks for it any more.
            name = names.service_name(view.name, view.uid)
            await self._ensure(view, SERVICES, name, lambda: manifests.service(plan))
        leader = leader_of(view, plan, memory)
        ip = leader.ip if leader else None
        made = [self._pod(view, plan, memory, replica, ip) for replica in wanted]
        faults = await asyncio.gather(*made, return_exceptions=True)
        for fault in faults:
            if isinstance(fault, BaseException):
                raise fault

    async def _ensure(
        self, view: View, kind: Kind, name: str, render: Callable[[], Object]
    ) -> None:
        if name not in view.stored:
            await self._make(view, kind, render())
            view.stored.add(name)

    async def _pod(
        self, view: View, plan: JobPlan, memory: Memory, replica: ReplicaPlan, ip: str | None
    ) -> None:
        draft, view.draft = view.draft, None
        if draft is None or draft[0] != (memory.attempt, replica.key):
            draft = _drawn(plan, memory, replica, ip)
        body = draft[1]
        made = await self._make(view, PODS, body)
        view.pods_version = max(view.pods_version, version_of(made))
        found = sight(made)
        if found is None:
            name = body["metadata"]["name"]
            raise TakenError(f"Pod {name} is there without its labels; remove it")
        view.sightings.setdefault(found.replica.uid, found)

    async def _make(self, view: View, kind: Kind, body: Object) -> Object:
        """Create an object, or find that it is there and the job's own."""
        name = str(body["metadata"]["name"])
        try:
            return await self._client.create(kind, view.namespace, body)
        except AlreadyExists:
            there = await self._client.get(kind, view.namespace, name) or {}
            owners = there.get("metadata", {}).get("ownerReferences") or ()
            if there and not any(owner.get("uid") == view.uid for owner in owners):
                told = f"{kind.kind} {name} is there and belongs to something else; remove it"
                raise TakenError(told) from None
            return there

    async def _end(self, view: View, uid: str, grace_seconds: int) -> None:
        found = view.sightings.get(uid)
        if found is None:
            return
        replica = found.replica
        name = names.replica_name(
            view.name, view.uid, replica.attempt, replica.key.role, replica.key.index
        )
        there = await self._client.delete(
            PODS, view.namespace, name, uid=uid, grace_seconds=grace_seconds
        )
        if not there:
            view.sightings.pop(uid, None)


def _drawn(plan: JobPlan, memory: Memory, replica: ReplicaPlan, ip: str | None) -> Draft:
    body = manifests.pod(plan, memory.stage, replica, memory.attempt, master_ip=ip)
    return (memory.attempt, replica.key), body


def _event(view: View, event: Event, now: float) -> Object:
    when = timestamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{view.name}.", "namespace": view.namespace},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "name": view.name,
            "namespace": view.namespace,
            "uid": view.uid,
        },
        "type": "Warning" if event.warning else "Normal",
        "reason": event.reason,
        "message": event.message[:MAX_NOTE],
        "source": {"component": names.MANAGER},
        "reportingComponent": names.MANAGER,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }
