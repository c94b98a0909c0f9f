"""The cluster of the benchmark: an API server of its own with 100 fake nodes and an audit log.

Brought up by the tool that LMJOB_CLUSTER_TOOL names; every subject finds it empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from lmjob.api.names import PLURAL
from tests.benchmarks.operator_api import Api, RequestError
from tests.benchmarks.operator_subjects import usage_of
from tests.cluster.harness import jobs
from tests.cluster.harness.api import Api as Blocking
from tests.cluster.harness.api import path_of
from tests.cluster.harness.clusters import Cluster, found

CRD = Path(__file__).parents[2] / "manifests/crd/lmtrainingjobs.yaml"
NODES = 100
LOG = "--audit-log-mode=batch --audit-log-maxsize=4000"
"""Megabytes: a log that begins anew in between would be counted short."""
WRITES = ("create", "update", "patch", "delete", "deletecollection")

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "verbs": list(WRITES)}, {"level": "None"}],
}


@contextmanager
def cluster(folder: Path, name: str, *, keep: bool) -> Iterator[Cluster]:
    """Up with its fake nodes and our kind of object; gone afterwards. `keep`: used if it is up, and
    left up."""
    tool = Path(os.environ.get("LMJOB_CLUSTER_TOOL", ""))
    if not tool.is_file():
        raise SystemExit("set LMJOB_CLUSTER_TOOL to the tool that makes clusters")
    try:
        if not (keep and "kwok" in _call(tool, name, "status")):
            _up(tool, name, folder)
        made = found(tool, name)
        with contextlib.closing(Blocking(made.access)) as api:
            api.apply_file(CRD)
            api.wait(lambda: len(_ready(api)) == NODES, seconds=60, what="fake nodes are ready")
        yield made
    finally:
        if not keep:
            _down(tool, name)


def cpu_seconds(cluster: Cluster) -> dict[str, float]:
    """What each part of the cluster has used so far."""
    words = (line.split() for line in cluster.command("status").splitlines())
    parts = {line[0]: line[1] for line in words if len(line) > 1 and line[1].isdigit()}
    return {part: usage_of(int(pid)).cpu_seconds for part, pid in parts.items()}


def _up(tool: Path, name: str, folder: Path) -> None:
    (folder / "policy.yaml").write_text(json.dumps(POLICY))
    flags = f"--audit-policy-file={folder / 'policy.yaml'} --audit-log-path={folder / 'audit.log'}"
    _down(tool, name)
    _call(tool, name, "up", "--nodes", "0", f"--apiserver-args={flags} {LOG}")
    _call(tool, name, "fake-nodes", str(NODES), "--taint")


def _down(tool: Path, name: str) -> None:
    for unit in ("kube-apiserver", "etcd"):  # at once: they would wait for open watches
        with contextlib.suppress(subprocess.CalledProcessError):
            _call(tool, name, "stop", "--kill", unit)
    _call(tool, name, "down")


def _call(tool: Path, *arguments: str) -> str:
    """What the tool says. CalledProcessError with its words if it fails."""
    command = [tool, "--name", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _ready(api: Blocking) -> list[Any]:
    return [
        node
        for node in api.list("nodes")
        for condition in node.get("status", {}).get("conditions") or ()
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]


async def open_namespace(api: Api, name: str) -> None:
    """A namespace with the claim that the jobs name, bound."""
    await api.create(path_of("namespaces"), {"metadata": {"name": name}})
    volume, claim = jobs.claim(name)
    await api.create(path_of("persistentvolumes"), volume)
    await api.create(path_of("persistentvolumeclaims", name), claim)
    path = path_of("persistentvolumeclaims", name, jobs.CLAIM)
    while (await api.send("GET", path))["status"].get("phase") != "Bound":
        await asyncio.sleep(0.1)


async def clear(api: Api, name: str) -> None:
    """Remove everything of a namespace at once; returns when the store holds nothing of it."""
    await _without_finalizers(api, name)
    at_once = json.dumps({"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
    for plural in (PLURAL, "pods", "configmaps", "services", "events"):
        await api.send("DELETE", path_of(plural, name), at_once)
    await api.send("DELETE", path_of("namespaces", name=name))
    with contextlib.suppress(RequestError):
        await api.send("DELETE", path_of("persistentvolumes", name=f"{name}-{jobs.CLAIM}"))
    with contextlib.suppress(RequestError):
        while await api.send("GET", path_of("namespaces", name=name)):
            await asyncio.sleep(0.2)


async def clear_all(api: Api) -> None:
    """What a run that was broken off has left."""
    found = await api.send("GET", path_of("namespaces"))
    for name in (item["metadata"]["name"] for item in found["items"]):
        if name.startswith("bench-"):
            await clear(api, name)


async def _without_finalizers(api: Api, name: str) -> None:
    """The plain operator's timer puts one on every job."""
    free = {"metadata": {"finalizers": None}}
    found = await api.send("GET", path_of(PLURAL, name))
    held = [j["metadata"]["name"] for j in found["items"] if j["metadata"].get("finalizers")]
    await asyncio.gather(*(api.patch(path_of(PLURAL, name, job), free) for job in held))


@contextlib.asynccontextmanager
async def lax(api: Api) -> Any:
    """The definition without its rules: what an older or foreign one let through gets in."""
    body = yaml.safe_load(CRD.read_text())
    home = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{body['metadata']['name']}"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    strict = schema["properties"]["spec"]
    for spec in (anything, strict):
        schema["properties"]["spec"] = spec
        schema.pop("x-kubernetes-validations", None)
        versions = {"spec": {"versions": body["spec"]["versions"]}}
        await api.patch(home, versions)
        await asyncio.sleep(2.0)  # the server takes a new schema within a second or so
        if spec is anything:
            yield


class Audit:
    """The API server's own record of writes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "audit.log"
        self._at = 0

    async def skip(self) -> None:
        """Count from now on."""
        await asyncio.sleep(SETTLE_SECONDS)
        self._at = self._path.stat().st_size

    async def writes(self, namespace: str, agents: tuple[str, ...]) -> Counter[str]:
        """ "verb resource" -> how many of these user agents went through since `skip`, in a
        namespace and without leases."""
        counted: Counter[str] = Counter()
        for entry in await self.entries(namespace):
            if entry.get("userAgent", "").partition("/")[0] in agents:
                what = entry["objectRef"]
                resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
                counted[f"{entry['verb']} {resource}"] += 1
        return counted

    async def entries(self, namespace: str) -> list[Any]:
        await asyncio.sleep(SETTLE_SECONDS)
        with self._path.open() as log:
            log.seek(self._at)
            found = [json.loads(line) for line in log]
        return [
            entry
            for entry in found
            if entry.get("objectRef", {}).get("namespace") == namespace
            and entry["objectRef"]["resource"] != "leases"
            and entry.get("responseStatus", {}).get("code", 0) < 300
        ]


SETTLE_SECONDS = 2.0
"""The log is written in batches."""
