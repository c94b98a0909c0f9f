"""A look at one job: think, and carry out what was thought, until there is nothing left to do.

The handler of the operator's queue. What is known of the job says whether there is anything to do;
before anything is created or deleted, job and pods are read afresh and thought about once more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from lmjob.core.decide import Act, Claim, Wait
from lmjob.core.memory import Memory
from lmjob.core.observed import Obstacle
from lmjob.core.plan.shapes import JobPlan
from lmjob.core.report import Status
from lmjob.kube import metrics, plans
from lmjob.kube.acts import Acts
from lmjob.kube.client import Client
from lmjob.kube.errors import Conflict, NotFound, Refused, RequestError
from lmjob.kube.fetch import Fetch
from lmjob.kube.obstacles import Obstacles
from lmjob.kube.progress import Poller
from lmjob.kube.reports import MAX_TOLD, PROGRESS_SECONDS, Reports
from lmjob.kube.view import View, version_of
from lmjob.reconcile import Pass, think
from lmtrainer.config import MistakesError

PASSES = 12
"""Of one look; what is left is for the next one."""
FIRST_PROGRESS_SECONDS = 2.0
OBSTACLE_SECONDS = 1.0
LONGEST_OBSTACLE_SECONDS = 60.0
"""Between two looks at an obstacle, the first and any later ones."""


class Looks:
    """Looks at jobs. `views` is everybody's; a job that is not in it is read. `busy`: whether other
    jobs wait for their look."""

    def __init__(
        self,
        client: Client,
        poller: Poller,
        views: dict[str, View],
        trainer_image: str,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._client = client
        self._poller = poller
        self._views = views
        self._image = trainer_image
        self._acts = Acts(client)
        self._fetch = Fetch(client, views)
        self._reports = Reports(self._acts, self._fetch, busy)
        self._obstacles = Obstacles(client)

    async def look(self, key: str) -> float | None:
        """Look at a job; the Unix time of the next look, None if only an event can matter."""
        started = time.perf_counter()
        try:
            return await self._look(key)
        except RequestError:
            raise
        except Exception as error:
            view = self._views.get(key)
            if view is not None and not view.deleting:
                await self._reports.tell_error(view, error)
            raise
        finally:
            metrics.observe_reconcile(time.perf_counter() - started)

    async def _look(self, key: str) -> float | None:
        view = self._views.get(key)
        if view is None:
            view = await self._fetch.read(key)
        if view is None:
            return None
        view.refreshed = False
        view.obstacle = None
        for _ in range(PASSES):
            if view.deleting or self._views.get(key) is not view:
                return None
            again, until = await self._pass(view)
            if not again:
                return until
        return time.time()

    async def _pass(self, view: View) -> tuple[bool, float | None]:
        """One pass: whether to go on at once, or else until when to wait."""
        try:
            plan = plans.planned(view, self._image)
            if plan is None:
                plan = await plans.frozen(self._client, view, self._image)
            return await self._think(view, plan)
        except MistakesError as error:
            told = "; ".join(map(str, error.mistakes))
            await self._reports.tell_stalled(view, "InvalidSpec", told)
            view.refused_version = version_of(view.body)
            return False, None

    async def _think(self, view: View, plan: JobPlan) -> tuple[bool, float | None]:
        recalled = view.recall()
        memory = recalled.memory
        found = think(plan, recalled, view.observed(), time.time())
        if isinstance(found.decision, Wait):
            self._poller.ask(view, plan, memory)
            _tell_first_step(view)
        if not view.refreshed and _needs_certainty(found, memory):
            await self._fetch.refresh(view, newest=not isinstance(found.decision, Act))
            return True, None
        try:
            return await self._carry_out(view, plan, memory, found)
        except (Conflict, NotFound):
            # Somebody wrote in between, or the job has gone: read again and think anew.
            await self._fetch.refresh(view)
            return True, None

    async def _carry_out(
        self, view: View, plan: JobPlan, memory: Memory, found: Pass
    ) -> tuple[bool, float | None]:
        decision = found.decision
        if isinstance(decision, Wait):
            return False, await self._wait(view, memory, found.status, decision)
        if view.obstacle is None and _begins(plan, decision, memory):
            view.obstacle = await self._obstacles.find(view, plan, self._views.values())
            if view.obstacle is not None:
                return True, None
        if isinstance(decision, Claim):
            await self._claim(view, plan, memory, found.status, after=decision.memory)
            await self._acts.tell(view, found.told)
            return True, None
        try:
            await self._acts.act(view, plan, memory, decision)
        except Refused as error:
            return False, await self._blocked(view, plan, memory, error)
        view.refreshed = False
        return True, None

    async def _claim(
        self, view: View, plan: JobPlan, memory: Memory, status: Status, *, after: Memory
    ) -> None:
        """Store a claim. What a new stage needs to begin is listed at the same time."""
        begins = memory.attempt > 0 and after.stage != memory.stage
        listing = [self._fetch.pods(view, newest=False)] if begins else []
        await asyncio.gather(self._acts.claim(view, plan, after, status), *listing)
        _count(memory, after)
        # Nothing can be there yet in the name of the first attempt, which is ours.
        view.refreshed = view.refreshed or begins or memory.attempt == 0

    async def _wait(
        self, view: View, memory: Memory, status: Status, decision: Wait
    ) -> float | None:
        """Report, and say when the next look is due."""
        times = [decision.until, await self._reports.report(view, memory, status)]
        if decision.reason == "Blocked":
            times.append(_next_try(view))
        else:
            view.blocked_at = 0.0
        if decision.reason == "Running":
            times.append(time.time() + _until_progress(view, memory))
        return min((at for at in times if at is not None), default=None)

    async def _blocked(
        self, view: View, plan: JobPlan, memory: Memory, error: Refused
    ) -> float | None:
        """Tell why nothing could be created, and say when it is tried again."""
        quota = "exceeded quota" in str(error)
        view.obstacle = Obstacle("QuotaExceeded" if quota else "PodRefused", str(error)[:MAX_TOLD])
        found = think(plan, view.recall(), view.observed(), time.time())
        if isinstance(found.decision, Wait):
            return await self._wait(view, memory, found.status, found.decision)
        return _next_try(view)


def _until_progress(view: View, memory: Memory) -> float:
    """Seconds until the leader is asked again: often, until it has told anything of its stage, but
    ever less often if it does not."""
    told = view.progress is not None and view.progress.stage == memory.stage
    if told and view.progress_at:
        return PROGRESS_SECONDS
    waited = (time.time() - memory.group_since) / 4
    return min(max(waited, FIRST_PROGRESS_SECONDS), PROGRESS_SECONDS)


def _next_try(view: View) -> float:
    """When an obstacle is looked at again: after about as long as it has been there."""
    now = time.time()
    view.blocked_at = view.blocked_at or now
    return now + min(max(now - view.blocked_at, OBSTACLE_SECONDS), LONGEST_OBSTACLE_SECONDS)


def _needs_certainty(found: Pass, memory: Memory) -> bool:
    """Whether a decision must be taken on fresh facts. A claim that goes forward needs none: it
    rests on pods that were seen Ready or done, which stays true, and fails if the job has changed.
    Nothing can exist in the name of a job that was never begun."""
    decision = found.decision
    if not isinstance(decision, Claim):
        return isinstance(decision, Act)
    after = decision.memory
    forward = after.attempt == memory.attempt and not after.ending and not memory.ending
    return memory.attempt > 0 and not forward


def _begins(plan: JobPlan, decision: Claim | Act, memory: Memory) -> bool:
    """Something is about to be made that was not there before."""
    if isinstance(decision, Claim):
        return decision.memory.attempt > memory.attempt and memory.attempt == 0
    return bool(decision.create) and memory.stage == plan.stages[0].name


def _count(before: Memory, after: Memory) -> None:
    fault = after.last_fault
    if fault is not None and before.group == "failing" and after.attempt > before.attempt:
        metrics.count_restart(fault.reason)


def _tell_first_step(view: View) -> None:
    progress = view.progress
    if progress is None or progress.first_step_at is None or view.told_first_step:
        return
    view.told_first_step = True
    if progress.attempt == 1:
        metrics.first_step(progress.first_step_at - created_at(view.body))


def created_at(body: Mapping[str, Any]) -> float:
    """Unix time at which an object was created."""
    return datetime.fromisoformat(str(body["metadata"]["creationTimestamp"])).timestamp()
