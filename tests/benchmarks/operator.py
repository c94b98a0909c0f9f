"""The operator beside a raw list+watch floor and a plain kopf operator, in one run.

A real API server with 100 fake nodes; a job is a prepare pod, then a master and three workers. All
three make the same pods. Times compare as ratios to the floor of the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks import operator_phases as phases
from tests.benchmarks import operator_pods, operator_table
from tests.benchmarks.operator_api import Api
from tests.benchmarks.operator_cluster import Audit, clear_all, cluster, cpu_seconds
from tests.benchmarks.operator_subjects import Subject, subjects
from tests.cluster.harness.clusters import Cluster

PARTS = ("idle", "burst", "large", "poison")
SMALL, LARGE = 300, 1000
NAIVE_SHARE = 3
"""The plain operator needs seconds for a job, so it gets one idle job in so many."""


def main(
    *, parts: tuple[str, ...], jobs: int, only: tuple[str, ...], name: str, keep: bool
) -> dict[str, Any]:
    """Measure and print. `only`: the subjects; empty for all. `name`, `keep`: of the cluster."""
    folder = Path(tempfile.gettempdir(), f"lmjob-{name}")
    folder.mkdir(exist_ok=True)
    phases.write_templates(folder)
    with cluster(folder, name, keep=keep) as made:
        found = subjects(folder, made.access.kubeconfig, operator_pods.IMAGE)
        chosen = {name: s for name, s in found.items() if not only or name in only}
        result = asyncio.run(_measure(made, folder, chosen, parts, jobs))
    print(operator_table.table(result))
    return result


async def _measure(
    made: Cluster, folder: Path, chosen: dict[str, Subject], parts: tuple[str, ...], jobs: int
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    async with Api(made.access, "bench-driver") as api:
        await clear_all(api)
        audit = Audit(folder)
        if "idle" in parts:
            result["idle"] = await _idle(api, chosen, jobs, audit)
        for part, count in (("burst", SMALL), ("large", LARGE)):
            if part in parts:
                result[part] = await _bursts(api, chosen, count, made, audit)
        if "poison" in parts and "ours" in chosen:
            result["poison"] = await phases.poison(api, chosen["ours"])
            _say("poison", "ours", result["poison"])
    return result


async def _idle(api: Api, chosen: dict[str, Subject], count: int, audit: Audit) -> dict[str, Any]:
    """All subjects at once, each in a namespace of its own, get jobs in turn."""
    counts = {name: count // NAIVE_SHARE if name == "naive" else count for name in chosen}
    async with contextlib.AsyncExitStack() as stack:
        scenes = {
            name: await stack.enter_async_context(phases.Stage(api, subject, alone=False))
            for name, subject in chosen.items()
        }
        await audit.skip()
        await phases.idle(scenes, counts)
        writes = {
            name: await audit.writes(scene.namespace, chosen[name].agents)
            for name, scene in scenes.items()
        }
    result = {}
    for name, scene in scenes.items():
        found = list(scene.jobs.values())
        result[name] = {
            **{step: phases.spread(ms) for step, ms in phases.latencies(found).items()},
            "jobs": len(found),
            "runningTooSoon": sum(job.running_too_soon for job in found),
            "writes": dict(writes[name]),
            "writesPerJob": writes[name].total() / len(found),
        }
        _say("idle", name, result[name])
    return result


async def _bursts(
    api: Api, chosen: dict[str, Subject], count: int, made: Cluster, audit: Audit
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, subject in chosen.items():
        async with phases.Stage(api, subject) as scene:
            result[name] = await phases.burst(
                scene, subject, count, audit=audit, parts=lambda: cpu_seconds(made)
            )
            if name == "ours":
                result[name]["restart"] = await phases.restart(scene, subject, audit)
        _say(f"{count} jobs", name, result[name])
    return result


def _say(part: str, name: str, found: Any) -> None:
    print(f"{part:<10} {name:<6} {json.dumps(found, default=str)}", flush=True)
