"""Poison: jobs that no schema would let in, and pods that pretend to be a job's.

The jobs are stored while a definition without a schema is served, as by an old version of it.
"""

from __future__ import annotations

from typing import Any

from lmjob.api import names
from tests.cluster.harness.jobs import job

ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}

LOOSE = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{names.PLURAL}.{names.GROUP}"},
    "spec": {
        "group": names.GROUP,
        "scope": "Namespaced",
        "names": {
            "kind": names.KIND,
            "plural": names.PLURAL,
            "singular": names.SINGULAR,
            "shortNames": [names.SHORT_NAME],
        },
        "versions": [
            {
                "name": names.VERSION,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": ANYTHING, "status": ANYTHING},
                    }
                },
            }
        ],
    },
}
"""The definition of a job without its schema."""

_DEEP: Any = "the bottom"
for _ in range(60):
    _DEEP = {"a": [_DEEP]}

SPECS: dict[str, Any] = {
    "no-spec": None,
    "spec-text": "train a model",
    "spec-list": [1, 2, 3],
    "spec-number": 7,
    "spec-empty": {},
    "spec-deep": _DEEP,
    "workers-text": {**job()["spec"], "workers": "three"},
    "workers-negative": {**job()["spec"], "workers": {"replicas": -1}},
    "workers-many": {**job()["spec"], "workers": {"replicas": 10**15}},
    "workers-fraction": {**job()["spec"], "workers": {"replicas": 1.5}},
    "phases-object": {**job()["spec"], "phases": {"steps": 1}},
    "phases-nulls": {**job()["spec"], "phases": [None, None]},
    "text-of-a-megabyte": {**job()["spec"], "image": "x" * 900_000},
    "control-characters": {**job()["spec"], "image": "a\u0000b\u001b[31m\ud7ff"},
    "template": {**job()["spec"], "image": "{{ 7*7 }}\n  privileged: true"},
    "many-fields": {f"field{number}": number for number in range(5000)},
    "suspend-text": {**job()["spec"], "suspend": "yes please"},
    "env-object": {**job()["spec"], "pods": {"env": {"A": "1"}}},
}
"""What stands where a specification belongs, by the name of the job."""

_MEMORY = {"version": 1, "attempt": 1, "stage": "train", "group": "gated"}

STATUSES: dict[str, Any] = {
    "status-text": "fine",
    "status-list": [None],
    "memory-text": {"memory": "full"},
    "memory-of-tomorrow": {"memory": {**_MEMORY, "version": 99, "mood": "good"}},
    "attempt-text": {"memory": {**_MEMORY, "attempt": "first"}},
    "attempt-huge": {"memory": {**_MEMORY, "attempt": 10**17}},
    "attempt-negative": {"memory": {**_MEMORY, "attempt": -3}},
    "stage-unknown": {"memory": {**_MEMORY, "stage": "sing"}},
    "group-unknown": {"memory": {**_MEMORY, "group": ["gated"]}},
    "conditions-object": {"conditions": {"Ready": "True"}},
    "conditions-nulls": {"conditions": [None, 3, "Ready", {}]},
    "progress-list": {"memory": _MEMORY, "progress": [1], "stage": 5},
}
"""What stands where a status belongs, of jobs whose specification is good."""


LABELS = (
    names.LABEL_MANAGED_BY,
    names.LABEL_JOB,
    names.LABEL_UID,
    names.LABEL_ATTEMPT,
    names.LABEL_ROLE,
    names.LABEL_INDEX,
)
"""Those that tell which replica of which job a pod is."""


def jobs() -> list[dict[str, Any]]:
    """Every poisoned job; its status has to be written apart."""
    made = []
    for name, spec in SPECS.items():
        made.append({**job(f"poison-{name}"), "spec": spec})
    for name, status in STATUSES.items():
        made.append({**job(f"poison-{name}", workers=1), "status": status})
    return made


def pods(namespace: str, victim: Any) -> list[dict[str, Any]]:
    """Pods that pretend to be of `victim`, a job that was just made."""
    mine = {"name": victim["metadata"]["name"], "uid": victim["metadata"]["uid"]}
    other = {"name": "other", "uid": "11111111-2222-4333-8444-555555555555"}
    return [
        _pod("impostor-without-owner", mine, attempt="1"),
        _pod("impostor-of-another", mine, attempt="1", owner=other),
        _pod("impostor-attempt-text", mine, attempt="first", owner=other),
        _pod("impostor-attempt-huge", mine, attempt="9" * 60, owner=other),
        _pod("impostor-role", mine, attempt="1", role="king", owner=other),
        _pod("impostor-of-nobody", {"name": "nobody", "uid": "no-uid"}, attempt="0"),
    ]


def twin(victim: Any) -> dict[str, Any]:
    """A pod that has taken the name of the first pod of a job."""
    meta = victim["metadata"]
    name = names.replica_name(meta["name"], meta["uid"], 1, "prepare", 0)
    body = _pod(name, {"name": "stranger", "uid": "stranger"}, attempt="1")
    body["metadata"]["labels"] = {"app": "stranger"}
    return body


def _pod(
    name: str, of: Any, *, attempt: str, role: str = "master", owner: Any = None
) -> dict[str, Any]:
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGER,
        names.LABEL_JOB: of["name"],
        names.LABEL_UID: of["uid"],
        names.LABEL_ATTEMPT: attempt,
        names.LABEL_ROLE: role,
        names.LABEL_INDEX: "0",
    }
    owners = []
    if owner is not None:
        kind = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True}
        owners = [{**kind, **owner}]
    closed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "metadata": {"name": name, "labels": labels, "ownerReferences": owners},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{"name": "trainer", "image": "x/y:z", "securityContext": closed}],
        },
    }
