"""One attempt at training on one rank, before its first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from lmtrainer.config import ResolvedRun, RunConfig, parse, resolve
from lmtrainer.config.parallel import Strategy
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.contract.reports import Position
from lmtrainer.parallel.world import World
from lmtrainer.progress import RankReports
from lmtrainer.stage import StageContext
from lmtrainer.train.session import Session, next_position


def run_of(strategy: str = "ddp", phases: tuple[str, ...] = ("main",)) -> ResolvedRun:
    plain = {
        "data": {"train": ["text.txt"]},
        "model": {"type": "bert", "preset": "tiny"},
        "phases": [{"name": name, "steps": 1} for name in phases],
        "output": {"to": "out"},
        "parallel": {"strategy": strategy},
    }
    return resolve(parse(RunConfig, plain), precision="fp32", threads=1)


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_the_model_of_a_process_by_itself_is_on_its_device(tmp_path: Path, strategy: str) -> None:
    """Whatever the strategy: a single process shares nothing."""
    context = StageContext(
        stage="train",
        run=run_of(strategy),
        node=NodeEnvironment(job_uid="j", attempt=1, node_dir=str(tmp_path)),
        reports=RankReports(str(tmp_path), 0),
    )
    alone = World(0, 0, 1, torch.device("meta"))
    prepared: Any = None
    session = Session(context, alone, prepared, lambda: nn.Linear(2, 3), None, tmp_path)
    assert {parameter.device for parameter in session.model.parameters()} == {alone.device}


@pytest.mark.parametrize(
    ("reached", "expected"),
    [((0, 0), (0, 0)), ((0, 4), (0, 4)), ((0, 5), (1, 0)), ((1, 1), (1, 1)), ((1, 7), (1, 7))],
)
def test_behind_the_last_step_of_a_phase_the_next_one_begins(
    reached: tuple[int, int], expected: tuple[int, int]
) -> None:
    names = ("short", "long")
    run = run_of(phases=names)
    here, there = (Position(phase_index=i, step=n, phase=names[i]) for i, n in (reached, expected))
    assert next_position(here, (5, 7), run) == there
