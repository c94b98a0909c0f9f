"""What must be there before a pod is made: the job's volume claims, and an output of its own.

Asked before an attempt begins. A claim that was found is not asked for again for a while: if it
goes meanwhile, the scheduler says so of the pod.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping

from lmjob.core.observed import Obstacle
from lmjob.core.plan.shapes import JobPlan
from lmjob.kube.client import Client
from lmjob.kube.kinds import CLAIMS
from lmjob.kube.view import View
from lmtrainer.config.places import volume_claims, written_places
from lmtrainer.config.sources import claims

FOUND_SECONDS = 60.0
MAX_FOUND = 4096
_SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_WRITTEN = frozenset({"ReadWriteMany"})

_ALONE = {"prepare": "prepare.replicas: 1", "train": "workers.replicas: 0"}
"""Stages of several nodes, and what gives them one."""


class Obstacles:
    """Finds what keeps a job from beginning."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._found: dict[tuple[str, str], tuple[float, tuple[str, ...]]] = {}
        """(namespace, claim) -> when it was seen, and its access modes."""

    async def find(self, view: View, plan: JobPlan, others: Iterable[View]) -> Obstacle | None:
        """The first obstacle, or None."""
        named = volume_claims(plan.run)
        modes = await asyncio.gather(*(self._modes(view.namespace, claim) for claim in named))
        for claim, found in zip(named, modes, strict=True):
            obstacle = _about(claim, found, plan, view.namespace)
            if obstacle is not None:
                return obstacle
        return _output_in_use(view, plan, others)

    async def _modes(self, namespace: str, claim: str) -> tuple[str, ...] | None:
        """The access modes of a claim; None if there is no such claim."""
        seen = self._found.get((namespace, claim))
        now = time.monotonic()
        if seen is not None and now < seen[0] + FOUND_SECONDS:
            return seen[1]
        found = await self._client.get(CLAIMS, namespace, claim)
        if found is None:
            return None
        if len(self._found) >= MAX_FOUND:
            self._found.clear()
        modes = tuple((found.get("spec") or {}).get("accessModes") or ())
        self._found[namespace, claim] = (now, modes)
        return modes


def _about(
    claim: str, modes: tuple[str, ...] | None, plan: JobPlan, namespace: str
) -> Obstacle | None:
    if modes is None:
        message = f"volume claim {claim!r} is not found in namespace {namespace}; create it"
        return Obstacle("VolumeNotFound", message)
    largest = max(plan.stages, key=lambda stage: len(stage.replicas))
    nodes = len(largest.replicas)
    fitting = _WRITTEN if claim in claims(written_places(plan.run)) else _SHARED
    if nodes > 1 and not fitting & set(modes):
        message = (
            f"volume claim {claim!r} has access mode {', '.join(modes)}, but {nodes} nodes mount "
            f"it; give a claim that is ReadWriteMany, or set {_ways_out(plan)}"
        )
        return Obstacle("VolumeNotShared", message)
    return None


def _ways_out(plan: JobPlan) -> str:
    """What makes every stage one of a single node."""
    several = {stage.name for stage in plan.stages if stage.followers}
    return " and ".join(way for stage, way in _ALONE.items() if stage in several)


def _output_in_use(view: View, plan: JobPlan, others: Iterable[View]) -> Obstacle | None:
    place, mine = plan.run.output.to, _began(view)
    for other in others:
        if other.output != place or other.namespace != view.namespace or other.uid == view.uid:
            continue
        # Of two that are at work it is the first one's: they would wait for each other for ever.
        theirs = _began(other)
        if theirs is None or (mine is not None and mine < theirs):
            continue
        message = (
            f"output {place} is in use by job {other.name} "
            f"(attempt {other.status.get('attempt')}); choose another output.to, or wait"
        )
        return Obstacle("OutputInUse", message)
    return None


def _began(view: View) -> tuple[float, str] | None:
    """When the work of a job was claimed first, for an order of jobs; None unless it is at work."""
    memory = view.status.get("memory")
    if not isinstance(memory, Mapping) or view.deleting:
        return None
    if not memory.get("attempt") or memory.get("outcome"):
        return None
    return float(memory.get("startedAt") or 0.0), view.uid
