"""Job documents for the tests of the specification, and small changes to them."""

from __future__ import annotations

import copy
import re
from typing import Any

from lmjob.api.spec import JobSpec, parse_job
from lmtrainer.config import MistakesError

REMOVED = object()

GOOD: dict[str, Any] = {
    "apiVersion": "lmtraining.dev/v1alpha1",
    "kind": "LMTrainingJob",
    "metadata": {"name": "good"},
    "spec": {
        "image": "example.org/lmtrainer:0.1.0",
        "workers": {"replicas": 3},
        "pods": {
            "resources": {"requests": {"cpu": 2, "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
            "env": [{"name": "A", "value": "1"}],
            "labels": {"team": "nlp"},
        },
        "data": {"train": ["pvc://corpus/wiki/*.txt"]},
        "model": {"type": "bert", "preset": "tiny"},
        "phases": [
            {
                "name": "main",
                "steps": 1000,
                "sequenceLength": 128,
                "globalBatchSize": 32,
                "microBatchSize": 4,
                "learningRate": 1e-4,
                "warmupSteps": 100,
            }
        ],
        "checkpoint": {"everySteps": 100, "keep": 3},
        "output": {"to": "pvc://results/good"},
    },
}


def changed(changes: dict[str, Any], base: dict[str, Any] = GOOD) -> dict[str, Any]:
    """A copy of a document with values put at paths such as `spec.phases[0].steps`."""
    body = copy.deepcopy(base)
    for path, value in changes.items():
        steps = [int(s) if s.isdigit() else s for s in re.findall(r"[^.\[\]]+", path)]
        place: Any = body
        for step in steps[:-1]:
            place = place[step] if isinstance(step, int) else place.setdefault(step, {})
        if value is REMOVED:
            del place[steps[-1]]
        else:
            place[steps[-1]] = value
    return body


def mistakes_in(body: Any) -> list[str]:
    """What `parse_job` says of a document, one message for each mistake."""
    try:
        parse_job(body)
    except MistakesError as fault:
        return [str(mistake) for mistake in fault.mistakes]
    return []


def spec_of(changes: dict[str, Any] | None = None) -> JobSpec:
    """The specification of the good job with changes."""
    return parse_job(changed(changes or {})).spec


def mistakes_in_pods(**fields: object) -> list[str]:
    """Of the good job with these fields in `pods`."""
    return mistakes_in(changed({f"spec.pods.{name}": value for name, value in fields.items()}))
