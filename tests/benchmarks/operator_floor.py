"""The floor: list and watch, create the pods of each job at the right moment, and nothing else.

A process of its own: `python -m tests.benchmarks.operator_floor TEMPLATES`, with KUBECONFIG set.
It writes no status, keeps no claim and survives no fault: nothing that does the same can be faster.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from lmjob.api.names import LABEL_INDEX, LABEL_MANAGED_BY, LABEL_ROLE, LABEL_UID, MANAGER
from tests.benchmarks.operator_api import Api
from tests.benchmarks.operator_pods import PARTS, Part, Templates
from tests.cluster.harness.access import read_access
from tests.cluster.harness.api import path_of

AGENT = "bench-floor"
NAMESPACE = os.environ.get("BENCH_NAMESPACE", "")
"""Empty for all."""


class Floor:
    def __init__(self, api: Api, templates: Templates) -> None:
        self._api = api
        self._templates = templates
        self._jobs: dict[str, Any] = {}
        self._made: set[tuple[str, Part]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def jobs(self) -> None:
        async for kind, job in self._api.follow(path_of("lmtrainingjobs", NAMESPACE)):
            if kind != "DELETED":
                self._jobs[job["metadata"]["uid"]] = job
                self._make(job, PARTS[0])

    async def pods(self) -> None:
        chosen = f"{LABEL_MANAGED_BY}={MANAGER}"
        async for _, pod in self._api.follow(path_of("pods", NAMESPACE), chosen):
            labels, status = pod["metadata"]["labels"], pod.get("status", {})
            job = self._jobs.get(labels[LABEL_UID])
            if job is None or labels[LABEL_INDEX] != "0":
                continue
            if labels[LABEL_ROLE] == "prepare" and status.get("phase") == "Succeeded":
                self._make(job, PARTS[1])
            if labels[LABEL_ROLE] == "master" and is_ready(pod):
                for part in PARTS[2:]:
                    self._make(job, part, status.get("podIP", ""))

    def _make(self, job: Any, part: Part, ip: str = "") -> None:
        meta = job["metadata"]
        if (meta["uid"], part) in self._made:
            return
        self._made.add((meta["uid"], part))
        body = self._templates.pod(job, part, ip)
        path = path_of("pods", meta["namespace"])
        task = asyncio.create_task(self._api.send("POST", path, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def is_ready(pod: Any) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def main() -> None:
    access = read_access(Path(os.environ["KUBECONFIG"]))
    templates = Templates.read(Path(sys.argv[1]))
    async with Api(access, AGENT) as api, asyncio.TaskGroup() as group:
        floor = Floor(api, templates)
        group.create_task(floor.jobs())
        group.create_task(floor.pods())


if __name__ == "__main__":
    asyncio.run(main())
