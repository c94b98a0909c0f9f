"""Old checkpoints go by their step, and only when there is a newer one that can be trusted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtrainer.checkpoint import Snapshot, newest, save
from lmtrainer.faults import FencedError

Make = Callable[..., Snapshot]


def unfenced() -> None:
    """Nobody else writes here."""


def names(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir())


def test_the_newest_by_phase_and_step_stay(tmp_path: Path, make_snapshot: Make) -> None:
    for index, phase, step in ((0, "short", 9), (0, "short", 10), (1, "long", 2), (1, "long", 11)):
        save(tmp_path, make_snapshot(step, phase=phase, index=index), keep=3, fence=unfenced)
    assert names(tmp_path) == [
        "0-short-step-00000010",
        "1-long-step-00000002",
        "1-long-step-00000011",
    ]


def test_clocks_do_not_matter(tmp_path: Path, make_snapshot: Make) -> None:
    for step in (1, 2, 3):
        save(tmp_path, make_snapshot(step), keep=3, fence=unfenced)
    os.utime(tmp_path / "0-main-step-00000001", (2e9, 2e9))
    os.utime(tmp_path / "0-main-step-00000003", (1e9, 1e9))
    save(tmp_path, make_snapshot(4), keep=2, fence=unfenced)
    assert names(tmp_path) == ["0-main-step-00000003", "0-main-step-00000004"]


def test_phases_are_ordered_by_number_not_by_letters(tmp_path: Path, make_snapshot: Make) -> None:
    for index in (9, 10):
        save(tmp_path, make_snapshot(1, phase="p", index=index), keep=2, fence=unfenced)
    save(tmp_path, make_snapshot(1, phase="p", index=11), keep=2, fence=unfenced)
    assert names(tmp_path) == ["10-p-step-00000001", "11-p-step-00000001"]


def test_a_later_checkpoint_never_costs_the_one_just_saved(
    tmp_path: Path, make_snapshot: Make
) -> None:
    for step in (8, 9):
        save(tmp_path, make_snapshot(step), keep=2, fence=unfenced)
    save(tmp_path, make_snapshot(3), keep=2, fence=unfenced)
    assert len(names(tmp_path)) == 3


def test_fewer_than_two_are_never_kept(tmp_path: Path, make_snapshot: Make) -> None:
    for step in (1, 2):
        save(tmp_path, make_snapshot(step), keep=2, fence=unfenced)
    with pytest.raises(ValueError, match="at least 2"):
        save(tmp_path, make_snapshot(3), keep=1, fence=unfenced)
    assert "0-main-step-00000001" in names(tmp_path)


@pytest.mark.parametrize("passes", [0, 1])
def test_an_attempt_that_is_fenced_off_changes_nothing(
    tmp_path: Path, make_snapshot: Make, passes: int
) -> None:
    """`passes`: the fence falls before the save, or while it writes."""
    for step in (1, 2):
        save(tmp_path, make_snapshot(step), keep=2, fence=unfenced)
    before = names(tmp_path)
    asked: list[None] = []

    def fence() -> None:
        asked.append(None)
        if len(asked) > passes:
            raise FencedError("a newer attempt is here")

    with pytest.raises(FencedError):
        save(tmp_path, make_snapshot(3), keep=2, fence=fence)
    assert names(tmp_path) == before


def test_an_attempt_whose_unfinished_folder_was_removed_learns_that_it_is_fenced(
    tmp_path: Path, make_snapshot: Make, config_hash: str
) -> None:
    save(tmp_path, make_snapshot(1), keep=2, fence=unfenced)
    asked: list[None] = []

    def fence() -> None:
        asked.append(None)
        if len(asked) == 2:
            newest(tmp_path, config_hash)
            assert not [name for name in names(tmp_path) if name.startswith(".tmp-")]
        if len(asked) == 3:
            raise FencedError("a newer attempt is here")

    with pytest.raises(FencedError):
        save(tmp_path, make_snapshot(2), keep=2, fence=fence)
    assert names(tmp_path) == ["0-main-step-00000001"]
