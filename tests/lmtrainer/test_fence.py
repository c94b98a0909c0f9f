"""An older attempt that comes back publishes nothing more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtrainer.config import RunConfig, document
from lmtrainer.faults import FencedError
from lmtrainer.output import claim, read_identity
from lmtrainer.output.identity import identity_of, write_identity

MakeRun = Callable[..., RunConfig]


def test_the_newest_attempt_passes_its_fence(tmp_path: Path, run_config: MakeRun) -> None:
    with claim(tmp_path, run_config(), "job-a", 2) as mine:
        mine.fence()
        assert (mine.folder, mine.job_uid, mine.attempt) == (tmp_path, "job-a", 2)


@pytest.mark.parametrize(
    ("uid", "attempt", "passes"),
    [("job-a", 2, True), ("job-a", 1, True), ("job-a", 3, False), ("job-b", 1, False)],
)
def test_a_fence_falls_for_a_newer_attempt_or_another_job(
    tmp_path: Path, run_config: MakeRun, uid: str, attempt: int, passes: bool
) -> None:
    run = run_config()
    with claim(tmp_path, run, "job-a", 2) as mine:
        # As another node does that does not see this one's lock.
        write_identity(tmp_path, identity_of(run, uid, attempt))
        if passes:
            mine.fence()
        else:
            with pytest.raises(FencedError, match=f"belongs to .*{uid if uid != 'job-a' else 3}"):
                mine.fence()


def test_a_fence_falls_when_the_folder_was_emptied(tmp_path: Path, run_config: MakeRun) -> None:
    with claim(tmp_path, run_config(), "job-a", 1) as mine:
        (tmp_path / "run.json").unlink()
        with pytest.raises(FencedError, match="removed or emptied"):
            mine.fence()


def test_an_older_attempt_cannot_claim(tmp_path: Path, run_config: MakeRun) -> None:
    run = run_config()
    with claim(tmp_path, run, "job-a", 3):
        pass
    with pytest.raises(FencedError, match="attempt 3; this is 2"), claim(tmp_path, run, "job-a", 2):
        pass
    found = read_identity(tmp_path)
    assert found is not None and found.attempt == 3
    with claim(tmp_path, run, "job-a", 3) as mine:
        mine.fence()


def test_claiming_clears_what_dead_writers_left(tmp_path: Path, run_config: MakeRun) -> None:
    (tmp_path / "records").mkdir()
    for place in (tmp_path, tmp_path / "records"):
        (place / ".tmp-half-1").write_text("x")
    with claim(tmp_path, run_config(), "job-a", 1):
        left = [path.name for path in tmp_path.rglob("*")]
        assert sorted(left) == ["configuration.json", "lock", "records", "run.json"]


def test_the_folder_itself_may_be_a_link_of_the_users(tmp_path: Path, run_config: MakeRun) -> None:
    (tmp_path / "big-disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "big-disk")
    with claim(tmp_path / "out", run_config(), "job-a", 1):
        plain = json.loads((tmp_path / "big-disk" / "run.json").read_text())
    assert plain == document(identity_of(run_config(), "job-a", 1))
