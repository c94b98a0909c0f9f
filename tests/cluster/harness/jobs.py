"""Job documents for scripted pods: valid, small, and without anything that has to be waited for."""

from __future__ import annotations

import time
from typing import Any

from lmjob.api.names import API_VERSION, KIND

CLAIM = "results"


def job(name: str = "job", *, workers: int = 3, **spec: Any) -> dict[str, Any]:
    """A job of one master and some workers; `spec` adds fields or replaces them."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {
            "workers": {"replicas": workers},
            "data": {"train": ["sample://jargon"]},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [{"name": "main", "steps": 30, "learningRate": 0.001}],
            "pods": {"resources": {"requests": {"cpu": "1m"}}},
            "terminationGracePeriodSeconds": 10,
            "output": {"to": f"pvc://{CLAIM}/{name}"},
            **spec,
        },
    }


def claim(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A volume that every node shares, and the claim `results` that is bound to it."""
    size, modes = {"storage": "1Gi"}, ["ReadWriteMany"]
    volume = {
        "metadata": {"name": f"{namespace}-{CLAIM}"},
        "spec": {
            "capacity": size,
            "accessModes": modes,
            "storageClassName": "",
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": namespace, "name": CLAIM},
        },
    }
    claimed = {
        "metadata": {"name": CLAIM},
        "spec": {
            "accessModes": modes,
            "storageClassName": "",
            "volumeName": f"{namespace}-{CLAIM}",
            "resources": {"requests": size},
        },
    }
    return volume, claimed


def restricted(name: str) -> dict[str, Any]:
    """A namespace that takes only pods of the `restricted` level."""
    marks = {"pod-security.kubernetes.io/enforce": "restricted", "lmtraining.dev/tests": "true"}
    return {"metadata": {"name": name, "labels": marks}}


def fresh_name(prefix: str = "lmjob") -> str:
    """Of a namespace: no other run of the tests has it."""
    return f"{prefix}-{time.time_ns():x}"
