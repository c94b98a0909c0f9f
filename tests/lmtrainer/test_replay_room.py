"""A run of an earlier kit begins in an empty folder, whoever of its nodes was there first."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmtrainer.commands.replay.run import make_room
from lmtrainer.compat.translation import RunStep
from lmtrainer.faults import UserError


def step(results: Path) -> RunStep:
    return RunStep(run={}, stages=("train",), results=str(results))


def test_what_another_node_left_first_is_no_stranger(tmp_path: Path) -> None:
    (tmp_path / "out/run/.lmtrainer").mkdir(parents=True)
    make_room(step(tmp_path / "out"), tmp_path / "out/run", tmp_path / "out")


@pytest.mark.parametrize("stranger", ["notes.txt", "run/model.bin"])
def test_anything_else_is_refused_by_name(tmp_path: Path, stranger: str) -> None:
    (tmp_path / "out/run").mkdir(parents=True)
    (tmp_path / "out" / stranger).write_text("mine")
    with pytest.raises(UserError, match=r"is not empty \((run|notes.txt)\)"):
        make_room(step(tmp_path / "out"), tmp_path / "out/run", tmp_path / "out")
