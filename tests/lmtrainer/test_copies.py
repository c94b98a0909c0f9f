"""Copies of folders on this machine: made once, whole or not at all, and no rest of one stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmtrainer.durable import LEFTOVER
from lmtrainer.text.copies import kept


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".cache/lmtrainer"


def fill(place: Path) -> None:
    (place / "a").write_text("a")


def test_a_copy_is_made_once_for_each_version_of_its_source() -> None:
    made: list[Path] = []
    places = [kept(source, lambda place: made.append(place) or fill(place)) for source in "xyx"]  # type: ignore[func-returns-value]
    assert places[0] == places[2] != places[1]
    assert len(made) == 2
    assert (places[1] / "a").read_text() == "a"


def test_who_waited_for_another_takes_its_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def meanwhile(file: object, how: int) -> None:
        monkeypatch.undo()
        monkeypatch.setenv("HOME", str(home))
        made.append(kept("x", fill))

    home = Path.home()
    monkeypatch.setattr("fcntl.flock", meanwhile)

    def never(place: Path) -> None:
        raise AssertionError(f"{place} is made a second time")

    assert kept("x", never) == made[0]


def test_what_a_killed_process_left_is_gone_with_the_next_copy(home: Path) -> None:
    left = home / f"{LEFTOVER}0123-abcdef"
    left.mkdir(parents=True)
    fill(left)
    assert (kept("x", fill) / "a").is_file()
    assert not left.exists()
