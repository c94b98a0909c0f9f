"""The example of two workers, as it stands or longer, for faults to strike in its middle."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).parents[3] / "manifests/examples/two-workers.yaml"
STEPS = 80
EVERY = 10
"""Steps from one checkpoint to the next."""


def example() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_text())
    return found


def long_example() -> dict[str, Any]:
    """Of STEPS steps."""
    job = example()
    job["metadata"]["name"] = "train"
    job["spec"]["phases"][0]["steps"] = STEPS
    job["spec"]["checkpoint"] = {"everySteps": EVERY}
    return job


@functools.cache
def _text() -> str:
    return EXAMPLE.read_text()
