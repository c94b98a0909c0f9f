"""The status that a kubelet would report of a pod, as patches."""

from __future__ import annotations

import time
from typing import Any

from lmtrainer.contract.exits import ExitType


def running(pod: Any, ip: str, *, ready: bool) -> dict[str, Any]:
    """A pod whose containers run, Ready or not yet."""
    state = {"running": {"startedAt": _now()}}
    return _status(pod, "Running", ready, state, ip)


def ended(pod: Any, kind: ExitType, message: str) -> dict[str, Any]:
    """A pod whose containers have ended."""
    end = {"exitCode": kind.code, "message": message, "finishedAt": _now(), "startedAt": _now()}
    word = "Completed" if kind is ExitType.SUCCEEDED else "Error"
    phase = "Succeeded" if kind is ExitType.SUCCEEDED else "Failed"
    return _status(pod, phase, False, {"terminated": {**end, "reason": word}}, "")


def node(name: str) -> dict[str, Any]:
    """A node with room for all pods of the tests."""
    room = {"cpu": "1000", "memory": "4Ti", "pods": "10000", "nvidia.com/gpu": "64"}
    ready = {"type": "Ready", "status": "True", "reason": "Scripted", "message": ""}
    times = {"lastHeartbeatTime": _now(), "lastTransitionTime": _now()}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": room, "allocatable": room, "conditions": [{**ready, **times}]},
    }


def _status(pod: Any, phase: str, ready: bool, state: Any, ip: str) -> dict[str, Any]:
    flags = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
    conditions = [
        {"type": name, "status": str(value), "lastTransitionTime": _now()}
        for name, value in flags.items()
    ]
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": ready,
            "restartCount": 0,
            "state": state,
        }
        for container in pod["spec"]["containers"]
    ]
    status = {"phase": phase, "conditions": conditions, "containerStatuses": containers}
    address = {"podIP": ip, "podIPs": [{"ip": ip}], "hostIP": ip, "startTime": _now()} if ip else {}
    return {"status": {**status, **address}}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
