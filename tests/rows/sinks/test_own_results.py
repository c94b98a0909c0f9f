"""What of the output folder of a user's own program is copied, and what it may replace."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.config import CommandConfig, parse
from lmtrainer.faults import FencedError, UserError
from lmtrainer.launch import proof
from lmtrainer.output import claim
from lmtrainer.output.copy import Copied, copy
from lmtrainer.output.reservation import reserve
from lmtrainer.output.selection import everything_in
from lmtrainer.s3 import Folder
from tests.rows.sinks.looks import PREFIX, URL, assert_whole, keys
from tests.rows.sinks.objectstore import BUCKET

ODD = "a b+c%20#d?e=é.txt"


def work(output: Path, *more: str, url: str = URL) -> CommandConfig:
    plain = {"command": ["a", *more], "output": {"to": str(output), "copyTo": url}}
    return parse(CommandConfig, plain)


def copied(output: Path, job: str = "job-a", url: str = URL) -> Copied:
    """By the launcher's own steps."""
    run = work(output, url=url)
    with claim(output, run, job, 1) as mine:
        folder = reserve(url, run, job, 1)
        files, _ = everything_in(output, folder)
        return copy(mine, files, folder, run, tell=lambda done, total: None)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder that a program has written to."""
    output = tmp_path / "mine"
    (output / "checkpoint-5/.hidden").mkdir(parents=True)
    (output / "checkpoint-5/.hidden/weights").write_bytes(os.urandom(1000))
    (output / "checkpoint-5/manifest.json").write_text("{}")
    (output / "empty").touch()
    (output / ODD).write_text("odd")
    return output


def begun(output: Path) -> Path:
    """Claimed before the program writes there, as a job does it."""
    with claim(output, work(output), "job-a", 1):
        return output


@pytest.fixture
def output(tmp_path: Path, written: Path) -> Path:
    place = tmp_path / "out"
    begun(place)
    for path in written.iterdir():
        path.rename(place / path.name)
    return place


WRITTEN = {"checkpoint-5/.hidden/weights", "checkpoint-5/manifest.json", "empty", ODD}
COPIED = {*WRITTEN, "configuration.json"}


def test_all_that_the_program_wrote_is_copied_and_nothing_of_ours(store: Any, output: Path) -> None:
    (output / ".lmjob/1-master-0").mkdir(parents=True)
    (output / ".lmjob/1-master-0/log.txt").write_text("ours")
    (output / "records").mkdir(exist_ok=True)
    (output / "records/train-ended.json").write_text("{}")
    (output / ".tmp-unfinished").write_text("ours")
    assert copied(output).files == len(COPIED)
    assert_whole(store, COPIED)
    assert keys(store) == sorted(PREFIX + name for name in {*COPIED, "run.json", "manifest.json"})


def test_a_link_to_a_file_of_the_folder_is_that_file_and_others_are_named(
    store: Any, output: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("not of the folder")
    (output / "latest").symlink_to("checkpoint-5")
    (output / "best").symlink_to("checkpoint-5/.hidden/weights")
    (output / "checkpoint-5/out").symlink_to(tmp_path / "secret")
    (output / "nowhere").symlink_to("gone")
    (output / "round").symlink_to("round")
    os.mkfifo(output / "pipe")
    files, left = everything_in(output, Folder(URL, "output.copyTo"))
    assert set(files) == {*COPIED, "best"}
    assert sorted(left) == ["checkpoint-5/out", "latest", "nowhere", "pipe", "round"]
    copied(output)
    assert_whole(store, {*COPIED, "best"})


def test_a_folder_that_cannot_be_read_is_not_left_out(
    store: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.scandir

    def broken(path: Any) -> Any:
        if str(path).endswith(".hidden"):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", broken)
    with pytest.raises(OSError, match="Input/output error"):
        everything_in(output, Folder(URL, "output.copyTo"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"manifest.json", r'"manifest.json" is the name of what seals the copy; give another'),
        (b"a\xff", r"the name 'a\\udcff' is not UTF-8"),
        (b"/".join([b"x" * 250] * 5), r"the name of .* has 1264 bytes there, more than 1024"),
    ],
)
def test_a_name_that_cannot_be_in_the_store_is_told(
    store: Any, output: Path, name: bytes, words: str
) -> None:
    place = output / os.fsdecode(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    with pytest.raises(UserError, match=rf"^output\.copyTo: {words}"):
        copied(output)


def test_a_later_copy_of_the_folder_replaces_the_one_before_and_nothing_of_others(
    store: Any, output: Path
) -> None:
    copied(output)
    store.put_object(Bucket=BUCKET, Key=f"{PREFIX}notes.txt", Body=b"mine")
    (output / "empty").unlink()
    assert copied(output, "job-b").sent == 0
    assert_whole(store, COPIED - {"empty"})
    assert f"{PREFIX}notes.txt" in keys(store)
    assert f"{PREFIX}empty" not in keys(store)


def test_a_copy_below_it_and_what_somebody_copied_there_stay(store: Any, output: Path) -> None:
    copied(output)
    other = begun(output.parent / "other")
    (other / "theirs").write_text("theirs")
    copied(other, "job-b", f"{URL}/other")
    store.create_multipart_upload(Bucket=BUCKET, Key=f"{PREFIX}other/more")
    source = {"Bucket": BUCKET, "Key": f"{PREFIX}empty"}
    store.copy_object(Bucket=BUCKET, Key=f"{PREFIX}kept/empty", CopySource=source)
    (output / "empty").unlink()
    before = set(keys(store))
    copied(output)
    assert before - set(keys(store)) == {f"{PREFIX}empty"}
    assert {f"{PREFIX}other/theirs", f"{PREFIX}kept/empty"} < before
    assert "Uploads" in store.list_multipart_uploads(Bucket=BUCKET), "the other one goes on"


def test_who_has_lost_the_prefix_changes_nothing_there(store: Any, output: Path) -> None:
    run = work(output)
    with claim(output, run, "job-a", 1) as mine:
        folder = reserve(URL, run, "job-a", 1)
        files, _ = everything_in(output, folder)
        copy(mine, files, folder, run, tell=lambda done, total: None)
        reserve(URL, run, "job-b", 1)
        (output / "empty").unlink()
        before = keys(store)
        files, _ = everything_in(output, folder)
        with pytest.raises(FencedError, match="belongs to job job-b now"):
            copy(mine, files, folder, run, tell=lambda done, total: None)
    assert keys(store) == before


def test_results_of_another_folder_are_not_replaced(store: Any, output: Path) -> None:
    copied(output)
    before = store.list_objects_v2(Bucket=BUCKET)["Contents"]
    other = begun(output.parent / "other")
    words = r"job-a\) .*: output is .* there, .* here; choose another output\.copyTo$"
    with pytest.raises(UserError, match=words):
        copied(other)
    assert store.list_objects_v2(Bucket=BUCKET)["Contents"] == before


@pytest.mark.parametrize("part", ["ended", "done"])
def test_an_end_that_was_seen_counts_for_the_attempts_of_that_job_alone(
    tmp_path: Path, part: str
) -> None:
    output = tmp_path / "out"
    run = work(output)

    def seen(job: str, attempt: int, run: CommandConfig = run) -> bool:
        with claim(output, run, job, attempt) as mine:
            return proof.has_ended(mine, run)

    with claim(output, run, "job-a", 1) as mine:
        assert not proof.has_ended(mine, run)
        (proof.note if part == "ended" else proof.leave)(mine, run)
    assert seen("job-a", 2)
    assert not seen("job-a", 2, work(output, "--more"))
    assert not seen("job-b", 1)
    with claim(output, run, "job-b", 1) as mine:
        proof.begin(mine)
    assert not seen("job-a", 3), "another program has changed the folder since"
