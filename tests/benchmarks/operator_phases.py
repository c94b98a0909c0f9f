"""What is measured of a subject: idle, a burst, a restart, bad jobs beside good ones."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks import operator_pods
from tests.benchmarks.operator_cluster import Audit, clear, lax, open_namespace
from tests.benchmarks.operator_poison import POISON
from tests.benchmarks.operator_scene import JobTimes, Scene
from tests.benchmarks.operator_subjects import Subject
from tests.cluster.harness.jobs import fresh_name

Result = dict[str, Any]
GIVE_UP_SECONDS = 600.0
PAUSE_SECONDS = 0.3
"""Between two idle jobs."""
RESTART_WATCH_SECONDS = 15.0


class Stage:
    """A fresh namespace, a running subject, and the scene around them. `async with`."""

    def __init__(self, api: Any, subject: Subject, *, alone: bool = True) -> None:
        self._api = api
        self._namespace = fresh_name("bench")
        self._subject = subject if alone else subject.of_namespace(self._namespace)

    async def __aenter__(self) -> Scene:
        await open_namespace(self._api, self._namespace)
        await self._subject.start()
        await self._subject.ready()
        self._scene = Scene(
            self._api,
            self._namespace,
            alive=self._subject.alive,
            says_running=self._subject.says_running,
        )
        return await self._scene.__aenter__()

    async def __aexit__(self, *found: Any) -> None:
        await self._scene.__aexit__(*found)
        await self._subject.stop()
        await clear(self._api, self._namespace)


async def idle(scenes: Mapping[str, Scene], jobs: Mapping[str, int]) -> None:
    """One job at a time, the subjects in turn: what else the machine does hits all alike. `jobs`:
    how many each of them gets."""
    rounds = max(jobs.values())
    for number in range(rounds):
        for subject, scene in scenes.items():
            if number * jobs[subject] // rounds == (number + 1) * jobs[subject] // rounds:
                continue
            name = f"idle-{number}"
            await scene.post(operator_pods.job(name))
            await scene.until(
                lambda name=name, scene=scene: _done(scene.jobs[name], scene.says_running), 60.0
            )
            await asyncio.sleep(PAUSE_SECONDS)


def latencies(times: Iterable[JobTimes]) -> dict[str, list[float]]:
    """Milliseconds of each step, sorted."""
    return {
        name: sorted(1e3 * found for job in times if (found := step(job)) is not None)
        for name, step in STEPS.items()
    }


def _first_pod(job: JobTimes) -> float | None:
    prepare = job.pod("prepare-0")
    return prepare.made - job.posted if prepare else None


def _master(job: JobTimes) -> float | None:
    prepare, master = job.pod("prepare-0"), job.pod("master-0")
    return master.made - prepare.ended if prepare and prepare.ended and master else None


def _workers(job: JobTimes) -> float | None:
    master, all_made = job.pod("master-0"), job.all_made
    return all_made - master.ready if master and master.ready and all_made else None


def _all_ready(job: JobTimes) -> float | None:
    return job.all_ready - job.posted if job.all_ready else None


def _running(job: JobTimes) -> float | None:
    return job.running - job.posted if job.running else None


STEPS: dict[str, Callable[[JobTimes], float | None]] = {
    "firstPod": _first_pod,
    "prepareDoneToMaster": _master,
    "masterReadyToLastWorker": _workers,
    "allReady": _all_ready,
    "running": _running,
}


async def burst(
    scene: Scene, subject: Subject, count: int, *, audit: Audit, parts: Callable[[], Any]
) -> Result:
    """All jobs at once, until all pods exist; then until all is Ready and said to be Running."""
    await audit.skip()
    bodies = [operator_pods.job(f"burst-{number}") for number in range(count)]
    parts_before = parts()
    before, began = subject.usage(), time.monotonic()
    await asyncio.gather(*map(scene.post, bodies))
    posted = time.monotonic() - began
    jobs = scene.jobs.values()
    await scene.until(lambda: all(job.all_made for job in jobs), GIVE_UP_SECONDS)
    at_made, parts_after = subject.usage(), parts()
    await scene.until(
        lambda: all(_done(job, scene.says_running) for job in jobs), GIVE_UP_SECONDS / 2
    )
    after = subject.usage()
    writes = await audit.writes(scene.namespace, subject.agents)
    made = [job.all_made for job in jobs if job.all_made]
    return {
        "jobs": count,
        "complete": len(made),
        "postedSeconds": posted,
        "allPodsSeconds": max(made) - began if len(made) == count else None,
        "allReadySeconds": _last(began, [job.all_ready for job in jobs]),
        "allRunningSeconds": _last(began, [job.running for job in jobs]),
        "runningTooSoon": sum(job.running_too_soon for job in jobs),
        "cpuSeconds": after.cpu_seconds - before.cpu_seconds,
        "cpuSecondsUntilPods": at_made.cpu_seconds - before.cpu_seconds,
        "clusterCpuSecondsUntilPods": {
            name: round(seconds - parts_before.get(name, 0.0), 1)
            for name, seconds in parts_after.items()
        },
        "rssMiB": after.rss_mib,
        "peakMiB": after.peak_mib,
        "writes": dict(writes),
        "writesPerJob": writes.total() / count,
    }


def _last(began: float, times: list[float | None]) -> float | None:
    known = [t for t in times if t is not None]
    return max(known) - began if len(known) == len(times) else None


async def restart(scene: Scene, subject: Subject, audit: Audit) -> Result:
    """kill -9 and a new start with the scene's jobs there; one job is posted at the exec, another
    a second later."""
    old = len(scene.jobs)
    await subject.stop(signal.SIGKILL)
    await audit.skip()
    began = await subject.start()
    await scene.post(operator_pods.job("at-exec"))
    await asyncio.sleep(max(0.0, began + 1.0 - time.monotonic()))
    await scene.post(operator_pods.job("after-exec"))
    await asyncio.sleep(RESTART_WATCH_SECONDS)
    new = {name: scene.jobs[name] for name in ("at-exec", "after-exec")}
    first = {name: job.pod("prepare-0") for name, job in new.items()}
    unchanged = [
        f"{entry['verb']} {entry['objectRef']['resource']} {entry['objectRef'].get('name')}"
        for entry in await audit.entries(scene.namespace)
        if entry.get("userAgent", "").partition("/")[0] in subject.agents
        and not str(entry["objectRef"].get("name") or "at-exec").startswith(tuple(new))
    ]
    return {
        "jobs": old,
        "execToFirstPod": {n: pod.made - began for n, pod in first.items() if pod},
        "postToFirstPod": {n: pod.made - new[n].posted for n, pod in first.items() if pod},
        "writesToUnchangedJobs": len(unchanged),
        "examples": unchanged[:5],
        "rssMiB": subject.usage().rss_mib,
    }


async def poison(api: Any, subject: Subject, good: int = 50) -> Result:
    """Good jobs alone, beside bad ones, and alone again: how much later their first pods come."""
    async with lax(api):
        alone, _ = await _good(api, subject, good, ())
        beside, told = await _good(api, subject, good, POISON)
        again, _ = await _good(api, subject, good, ())
    slowest = max(alone[-1:] + again[-1:], default=None)
    return {
        "bad": len(POISON),
        "badTold": told,
        "good": good,
        "goodBegun": len(beside),
        "aloneMs": [spread(alone), spread(again)],
        "besideMs": spread(beside),
        "delayMs": max(0.0, beside[-1] - slowest) if beside and slowest else None,
    }


async def _good(
    api: Any, subject: Subject, count: int, bad: Iterable[Any]
) -> tuple[list[float], int]:
    """Latencies of good jobs, and how many bad ones were told that they are."""
    async with Stage(api, subject) as scene:
        names = [f"good-{number}" for number in range(count)]
        bodies = [{**operator_pods.job(f"bad-{n}"), "spec": spec} for n, spec in enumerate(bad)]
        bodies += map(operator_pods.job, names)
        await asyncio.gather(*map(scene.post, bodies))
        jobs = [scene.jobs[name] for name in names]
        await scene.until(lambda: all(job.all_made for job in jobs), GIVE_UP_SECONDS / 2)
        return latencies(jobs)["firstPod"], sum(job.invalid for job in scene.jobs.values())


def spread(times: list[float]) -> dict[str, float]:
    """Of sorted times."""
    if not times:
        return {}
    return {
        "p50": statistics.median(times),
        "p99": times[min(len(times) - 1, round(0.99 * (len(times) - 1)))],
        "max": times[-1],
    }


def _done(job: JobTimes, says_running: bool) -> bool:
    return bool(job.all_ready) and (bool(job.running) or not says_running)


def write_templates(folder: Path) -> None:
    operator_pods.write_templates(folder / "templates.json")
