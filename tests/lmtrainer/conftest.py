"""Tiny runs and checkpoints for the tests of the trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lmtrainer.checkpoint import Snapshot, State
from lmtrainer.config import RunConfig, parse
from lmtrainer.config import resolve as resolve_config
from lmtrainer.contract.reports import Position

CONFIG_HASH = "c" * 64


@pytest.fixture
def run_config() -> Callable[..., RunConfig]:
    """Makes a resolved configuration; keywords replace top-level fields of the document."""

    def make(**fields: Any) -> RunConfig:
        plain = {
            "data": {"train": ["text.txt"]},
            "model": {"type": "bert"},
            "phases": [{"name": "main", "steps": 10}],
            "output": {"to": "out"},
        }
        run = parse(RunConfig, {**plain, **fields})
        return resolve_config(run, precision="fp32", threads=1)

    return make


@pytest.fixture
def config_hash() -> str:
    """That of every snapshot of `make_snapshot`."""
    return CONFIG_HASH


@pytest.fixture
def make_snapshot() -> Callable[..., Snapshot]:
    """Makes the state of training at a step: three tiny tensors that tell the step, two of them
    tied."""

    def make(step: int, *, phase: str = "main", index: int = 0, attempt: int = 1) -> Snapshot:
        weight = torch.full((4, 3), float(step)) + torch.arange(3)
        return Snapshot(
            state=State(
                position=Position(phase_index=index, step=step, phase=phase),
                job_uid="job-a",
                attempt=attempt,
                config_hash=CONFIG_HASH,
                world_size=2,
                tokens_seen=100 * step,
                trainer={"epoch": 1, "scale": 0.1 + step},
            ),
            weights={"embed.weight": weight, "bias": torch.ones(3), "head.weight": weight},
            optimizer={"embed.weight.exp_avg": weight / 3, "rng": torch.arange(8).byte()},
            model_config='{"model_type": "bert"}',
        )

    return make
