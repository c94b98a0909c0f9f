"""The faults: each strikes in its context's beginning, and all is mended when the context ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.real.machine import Machine
from tests.cluster.real.processes import kill_rank
from tests.cluster.real.run import Run

OUTAGE_SECONDS = 30.0
VICTIM = 2
"""Number of the node that is killed and cut off."""


@dataclass(frozen=True)
class Fault:
    """What is done to a job, and where its group is when that happens."""

    name: str
    strike: Callable[[Run], AbstractContextManager[None]]
    master_on: int = 1
    workers_on: int = 1
    from_the_start: bool = False
    """Before the job begins, and not in its middle."""
    attempts: int = 2
    causes: tuple[str, ...] = field(default=())
    """Of which the job must name one; none: it must not notice."""


@contextmanager
def _pod_deleted(run: Run, role: str) -> Iterator[None]:
    run.kubectl("delete", "pod", run.pod(role)["metadata"]["name"], "--wait=false")
    yield


@contextmanager
def _rank_killed(run: Run) -> Iterator[None]:
    kill_rank(run.body()["metadata"]["uid"], 1)
    yield


@contextmanager
def _node_killed(run: Run) -> Iterator[None]:
    run.machine.command("node", "kill", str(VICTIM))
    try:
        yield
    finally:
        run.machine.command("node", "start", str(VICTIM))
        _wait_for_nodes(run.machine)


@contextmanager
def _node_cut_off(run: Run) -> Iterator[None]:
    run.machine.command("node", "cut", str(VICTIM))
    try:
        run.wait(lambda: _begun(run, 2), 150, "second attempt")
        run.machine.command("node", "join", str(VICTIM))
        yield
    finally:
        run.machine.command("node", "join", str(VICTIM))
        _wait_for_nodes(run.machine)


@contextmanager
def _api_server_down(run: Run) -> Iterator[None]:
    with run.machine.stopped("kube-apiserver"):
        time.sleep(OUTAGE_SECONDS)
    deadline = time.monotonic() + 60
    while "ok" not in run.machine.kubectl("get", "--raw", "/readyz", check=False):
        assert time.monotonic() < deadline, "the API server does not come back"
        time.sleep(0.2)
    yield


def _dns_stopped(run: Run) -> AbstractContextManager[None]:
    return run.machine.stopped("coredns")


FAULTS = (
    Fault(
        "worker pod deleted", lambda run: _pod_deleted(run, "worker"), causes=("ReplicaDeleted",)
    ),
    Fault(
        "master pod deleted", lambda run: _pod_deleted(run, "master"), causes=("ReplicaDeleted",)
    ),
    Fault("worker process killed", _rank_killed, causes=("RankKilled",)),
    Fault("node killed", _node_killed, workers_on=VICTIM, causes=("NodeLost", "ReplicaDeleted")),
    Fault("node cut off", _node_cut_off, master_on=VICTIM, causes=("NodeLost", "ReplicaDeleted")),
    Fault("API server down for 30 s", _api_server_down, attempts=1),
    Fault("DNS stopped", _dns_stopped, from_the_start=True, attempts=1),
)


def prefers(node: int) -> dict[str, Any]:
    """An affinity to a node that goes elsewhere when the node is gone."""
    wish = {"key": "kubernetes.io/hostname", "operator": "In", "values": [f"node-{node}"]}
    term = {"weight": 100, "preference": {"matchExpressions": [wish]}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


def _begun(run: Run, attempt: int) -> bool:
    """A pod of the attempt runs."""
    label = "lmtraining.dev/attempt"
    found = (p for p in run.pods() if p["metadata"]["labels"][label] == str(attempt))
    return any(pod["status"].get("phase") == "Running" for pod in found)


def _wait_for_nodes(machine: Machine) -> None:
    machine.kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=90s")
