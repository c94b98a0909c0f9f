"""The end state of a namespace with everything masked that differs from run to run: names made of
uids, times, and the pods' own addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lmjob.api.names import GROUP, KIND, LABEL_UID, uid_hash
from tests.cluster.harness.history import Object, State, World, job_of, memory_of, uid

_KINDS = (KIND, "Pod", "Service", "ConfigMap")
_REMEMBERED = ("attempt", "stage", "group", "restarts", "outcome", "outcomeReason", "lostSteps")
_FAULT = ("reason", "replica", "exitType", "attempt", "stage")


def end_state(history: Iterable[State]) -> dict[str, Any]:
    """What is there at the end of a history: `KIND/NAME` -> what it says."""
    world = World()
    for state in history:
        world.apply(world.change(state))
    found: dict[str, Any] = {}
    for (kind, _, name), item in sorted(world.objects.items()):
        if kind in _KINDS and (kind == KIND or job_of(item)):
            owner = uid(item) if kind == KIND else job_of(item)
            found[f"{kind}/{name.replace(uid_hash(owner), 'HASH')}"] = _said(kind, item)
    return found


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """One line for each object that is not the same in both."""
    return [
        f"{name}: {left.get(name, 'absent')} instead of {right.get(name, 'absent')}"
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    ]


def _said(kind: str, item: Object) -> Any:
    if kind == KIND:
        return _job(item)
    labels = item["metadata"].get("labels") or {}
    own = {k: v for k, v in labels.items() if GROUP in k and k != LABEL_UID}
    return {"labels": own, "phase": item.get("status", {}).get("phase")}


def _job(item: Object) -> Any:
    memory, status = memory_of(item), item.get("status", {})
    fault = memory.get("lastFault") or {}
    return {
        **{name: memory.get(name) for name in _REMEMBERED},
        "lastFault": {name: fault.get(name) for name in _FAULT},
        "conditions": {
            c["type"]: (c["status"], c["reason"]) for c in status.get("conditions") or ()
        },
        "told": {name: status.get(name) for name in ("attempt", "stage", "restarts")},
    }
