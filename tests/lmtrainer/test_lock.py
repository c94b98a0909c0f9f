"""Two live runs never write into one folder, and a dead one never keeps it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmtrainer.config import RunConfig, document
from lmtrainer.contract.reports import Position
from lmtrainer.faults import FencedError, UserError
from lmtrainer.output import Claim, MetricsLog, claim, read_identity, read_metrics

MakeRun = Callable[..., RunConfig]


@contextlib.contextmanager
def holder(
    folder: Path, run: RunConfig, uid: str, *more: str, attempt: int = 1
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds the folder, and the pid of its child if it has one."""
    script = Path(__file__).with_name("hold_claim.py")
    words = [str(folder), json.dumps(document(run)), uid, str(attempt), *more]
    process = subprocess.Popen(
        [sys.executable, str(script), *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            held, child = process.stdout.readline().split()
            assert held == "held"
            yield process, int(child)
        finally:
            process.kill()


def test_a_run_of_another_job_is_refused_and_names_the_holder(
    tmp_path: Path, run_config: MakeRun
) -> None:
    run = run_config()
    with holder(tmp_path, run, "job-a", attempt=3) as (process, _):
        with (
            pytest.raises(UserError) as caught,
            claim(tmp_path, run, "job-b", 1, wait_seconds=0.2),
        ):
            pass
        said = str(caught.value)
        for part in ("job job-a", "attempt 3", f"process {process.pid} on ", "another output.to"):
            assert part in said
        found = read_identity(tmp_path)
        assert found is not None and found.job_uid == "job-a"


@pytest.mark.parametrize("attempt", [1, 2])
def test_an_attempt_is_told_to_come_again_while_it_or_a_newer_one_of_its_job_writes(
    tmp_path: Path, run_config: MakeRun, attempt: int
) -> None:
    run = run_config()
    with (
        holder(tmp_path, run, "job-a", attempt=2),
        pytest.raises(FencedError, match="attempt 2"),
        claim(tmp_path, run, "job-a", attempt, wait_seconds=0.2),
    ):
        pass


def test_an_older_attempt_that_hangs_on_a_lost_node_does_not_keep_the_folder(
    tmp_path: Path, run_config: MakeRun
) -> None:
    run = run_config()
    lost = Claim(tmp_path, "job-a", 1)
    with holder(tmp_path, run, "job-a"):
        log = MetricsLog(tmp_path, resumed=None)
        log.append(Position(phase_index=0, step=1), loss=3.0)
        with claim(tmp_path, run, "job-a", 2, wait_seconds=0.2) as mine:
            log.append(Position(phase_index=0, step=2), loss=9.0)
            log.close()
            assert [line["loss"] for line in read_metrics(tmp_path)] == [3.0]
            mine.fence()
            with pytest.raises(FencedError, match="attempt 2"):
                lost.fence()
            with (
                pytest.raises(UserError, match="attempt 2"),
                claim(tmp_path, run, "job-b", 1, wait_seconds=0.2),
            ):
                pass


def test_a_job_that_never_resumes_is_told_to_come_again(
    tmp_path: Path, run_config: MakeRun
) -> None:
    """It will be given a folder beside the one that was taken under its hands."""
    run = run_config(checkpoint={"resume": "never"})
    with (
        holder(tmp_path, run, "job-a"),
        pytest.raises(FencedError, match="taken by another job"),
        claim(tmp_path, run, "job-b", 1, wait_seconds=0.2),
    ):
        pass
    with (
        pytest.raises(FencedError, match="taken by another job"),
        claim(tmp_path, run, "job-b", 1),
    ):
        pass


def test_a_dying_predecessor_is_waited_for(tmp_path: Path, run_config: MakeRun) -> None:
    run = run_config()
    with holder(tmp_path, run, "job-a") as (process, _):
        timer = threading.Timer(0.5, process.kill)
        timer.start()
        began = time.monotonic()
        with claim(tmp_path, run, "job-a", 2, wait_seconds=10):
            assert 0.3 < time.monotonic() - began < 8
        timer.join()


def test_a_killed_run_leaves_no_lock_even_if_its_children_live(
    tmp_path: Path, run_config: MakeRun
) -> None:
    run = run_config()
    with holder(tmp_path, run, "job-a", "fork") as (process, child):
        process.kill()
        process.wait()
        try:
            os.kill(child, 0)
            with claim(tmp_path, run, "job-b", 1, wait_seconds=0.2) as mine:
                mine.fence()
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_folder_is_free_after_its_run_ended(tmp_path: Path, run_config: MakeRun) -> None:
    run = run_config()
    with pytest.raises(KeyError), claim(tmp_path, run, "job-a", 1):
        raise KeyError("an error of the stage is its own")
    with claim(tmp_path, run, "job-b", 1, wait_seconds=0):
        pass


def test_within_one_process_there_is_one_writer_too(tmp_path: Path, run_config: MakeRun) -> None:
    run = run_config()
    with (
        claim(tmp_path, run, "job-a", 1),
        pytest.raises(FencedError),
        claim(tmp_path, run, "job-a", 1, wait_seconds=0),
    ):
        pass


def test_a_lock_that_was_removed_with_its_folder_does_not_count(
    tmp_path: Path, run_config: MakeRun
) -> None:
    run = run_config()
    with holder(tmp_path / "out", run, "job-a"):
        (tmp_path / "out").rename(tmp_path / "gone")
        with claim(tmp_path / "out", run, "job-b", 1, wait_seconds=0):
            pass


def test_a_lock_that_is_replaced_while_it_is_taken_is_taken_again(
    tmp_path: Path, run_config: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two runs could each hold the lock of a file of that name."""
    real = fcntl.flock

    def too_late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        (tmp_path / "lock").unlink()
        (tmp_path / "lock").touch()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with (
        claim(tmp_path, run_config(), "job-a", 1),
        (tmp_path / "lock").open() as file,
        pytest.raises(BlockingIOError),
    ):
        real(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_linked_lock_is_refused(tmp_path: Path, run_config: MakeRun) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lock").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(UserError, match="not a plain file"),
        claim(tmp_path / "out", run_config(), "job-a", 1),
    ):
        pass
    assert (tmp_path / "elsewhere").read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_the_users_to_solve(
    tmp_path: Path, run_config: MakeRun
) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(UserError, match=r"output\.to: cannot be written"),
        claim(tmp_path / "file" / "out", run_config(), "job-a", 1),
    ):
        pass
