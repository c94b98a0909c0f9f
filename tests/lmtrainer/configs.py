"""Small configurations, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

from lmtrainer.config import (
    MistakesError,
    ResolvedRun,
    RunConfig,
    parse,
    resolve,
)

PLAIN: dict[str, Any] = {
    "data": {"train": ["pvc://corpus/*.txt"]},
    "model": {"type": "bert", "preset": "tiny"},
    "phases": [{"name": "main", "steps": 100}],
    "output": {"to": "pvc://results/x"},
}


def told(**fields: Any) -> list[str]:
    try:
        parse(RunConfig, {**PLAIN, **fields})
    except MistakesError as fault:
        return str(fault).splitlines()
    return []


def config(**fields: Any) -> RunConfig:
    return parse(RunConfig, {**PLAIN, **fields})


def resolved(**fields: Any) -> ResolvedRun:
    return resolve(config(**fields), precision="fp32", threads=2)
