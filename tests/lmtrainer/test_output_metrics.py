"""metrics.jsonl of a resumed run reads like that of a run that was never disturbed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lmtrainer.contract.reports import Position
from lmtrainer.output import METRICS_FILE, MetricsLog, read_metrics
from lmtrainer.output.metrics import ROLLED_BACK


def at(step: int, index: int = 0) -> Position:
    return Position(phase_index=index, step=step, phase="short" if index == 0 else "long")


def write(folder: Path, positions: list[Position], resumed: Position | None = None) -> None:
    log = MetricsLog(folder, resumed=resumed)
    for position in positions:
        log.append(position, loss=position.step / 2)
    log.close()


def steps(folder: Path) -> list[tuple[int, int]]:
    return [(row["phaseIndex"], row["step"]) for row in read_metrics(folder)]


def test_a_line_has_its_position_and_values(tmp_path: Path) -> None:
    write(tmp_path, [at(1)])
    assert list(read_metrics(tmp_path)) == [
        {"phaseIndex": 0, "phase": "short", "step": 1, "loss": 0.5}
    ]


def test_steps_after_the_checkpoint_are_dropped_and_written_anew(tmp_path: Path) -> None:
    write(tmp_path, [at(1), at(2), at(3), at(4)])
    write(tmp_path, [at(3), at(4)], resumed=at(2))
    assert steps(tmp_path) == [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_a_later_phase_is_later_than_any_step(tmp_path: Path) -> None:
    write(tmp_path, [at(8), at(9), at(1, 1), at(2, 1)])
    write(tmp_path, [], resumed=at(1, 1))
    assert steps(tmp_path) == [(0, 8), (0, 9), (1, 1)]
    write(tmp_path, [], resumed=at(9))
    assert steps(tmp_path) == [(0, 8), (0, 9)]


def test_a_roll_back_is_noted_anew_by_whoever_begins_where_it_led(tmp_path: Path) -> None:
    write(tmp_path, [at(1), at(2)])
    log = MetricsLog(tmp_path, resumed=at(2))
    log.append(at(2), **{ROLLED_BACK: 5})
    log.append(at(3), loss=1.5)
    log.close()
    write(tmp_path, [], resumed=at(3))
    assert [ROLLED_BACK in row for row in read_metrics(tmp_path)] == [False, False, True, False]
    write(tmp_path, [], resumed=at(2))
    assert steps(tmp_path) == [(0, 1), (0, 2)]
    assert not any(ROLLED_BACK in row for row in read_metrics(tmp_path))


def test_a_run_without_checkpoint_begins_an_empty_file(tmp_path: Path) -> None:
    write(tmp_path, [at(1), at(2)])
    write(tmp_path, [at(1)])
    assert steps(tmp_path) == [(0, 1)]


@pytest.mark.parametrize("lost", [1, 5, 40])
def test_a_line_cut_by_a_crash_goes(tmp_path: Path, lost: int) -> None:
    write(tmp_path, [at(1), at(2)])
    os.truncate(tmp_path / METRICS_FILE, (tmp_path / METRICS_FILE).stat().st_size - lost)
    write(tmp_path, [at(3)], resumed=at(2))
    assert steps(tmp_path) == [(0, 1), (0, 3)]


def test_a_damaged_line_in_the_middle_costs_itself_only(tmp_path: Path) -> None:
    write(tmp_path, [at(1), at(2), at(3)])
    lines = (tmp_path / METRICS_FILE).read_bytes().splitlines(keepends=True)
    lines[1] = b"\xff{" + lines[1][2:]
    (tmp_path / METRICS_FILE).write_bytes(b"".join(lines) + b"[1]\n")
    write(tmp_path, [at(4)], resumed=at(3))
    assert steps(tmp_path) == [(0, 1), (0, 3), (0, 4)]


def test_numbers_that_json_does_not_know_become_null(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, resumed=None)
    log.append(at(1), loss=float("nan"), norm=float("inf"), note="x", tokens=3)
    log.close()
    (row,) = read_metrics(tmp_path)
    assert (row["loss"], row["norm"], row["note"], row["tokens"]) == (None, None, "x", 3)


def test_the_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / METRICS_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):
        MetricsLog(tmp_path, resumed=None)
    assert (tmp_path / "precious").read_text() == "x"


def test_without_a_file_there_are_no_metrics(tmp_path: Path) -> None:
    assert list(read_metrics(tmp_path)) == []
