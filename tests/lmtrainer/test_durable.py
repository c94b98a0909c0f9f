"""Files and folders are whole or absent, also when the disk fails or someone lays traps."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.durable import (
    building,
    make_folder,
    measure,
    read_small,
    remove_leftovers,
    replace,
    write_new,
)
from lmtrainer.durable.files import BLOCK


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def fail_once(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    """The next call of a function of `os` fails, as it does on a broken or full disk."""
    real = getattr(os, name)

    def broken(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(os, name, real)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, broken)


def test_what_was_written_is_what_was_measured(tmp_path: Path) -> None:
    blocks = [b"", b"abc", bytes(2 * BLOCK + 5), memoryview(b"end")]
    whole = b"".join(bytes(block) for block in blocks)
    fact = write_new(tmp_path / "file", blocks)
    assert (tmp_path / "file").read_bytes() == whole
    assert fact.size == len(whole)
    assert fact.sha256 == hashlib.sha256(whole).hexdigest()
    assert measure(tmp_path / "file") == fact


def test_writes_that_the_system_cuts_short_are_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    write_new(tmp_path / "file", [b"0123456789"])
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_new_file_never_overwrites_nor_follows_a_link(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "link", [b"x"])
    assert not target.exists()


def test_replace_puts_the_new_content_in_place_of_a_link_not_behind_it(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "link").symlink_to(target)
    replace(tmp_path / "link", "new")
    assert target.read_text() == "precious"
    assert (tmp_path / "link").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failed_replace_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    fail_once(monkeypatch, call, code)
    with pytest.raises(OSError) as caught:
        replace(path, "new")
    assert caught.value.errno == code
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_error_of_the_disk_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_once(monkeypatch, "write", errno.ENOSPC)
    with pytest.raises(OSError, match="weights"):
        write_new(tmp_path / "weights", [b"x"])


def test_a_pipe_in_place_of_a_file_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_small(tmp_path / "pipe")


def test_a_document_of_gigabytes_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 32)
    with pytest.raises(OSError) as caught:
        read_small(tmp_path / "huge")
    assert caught.value.errno == errno.EFBIG


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is flushed to the disk or renamed from now on, in order."""
    seen: list[str] = []
    fsync, rename, swap = os.fsync, os.rename, os.replace

    def traced_fsync(descriptor: int) -> None:
        seen.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def traced(call: Any) -> Any:
        def renamed(source: Any, target: Any) -> None:
            seen.append("rename " + Path(target).name)
            call(source, target)

        return renamed

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "rename", traced(rename))
    monkeypatch.setattr(os, "replace", traced(swap))
    return seen


def test_a_power_cut_finds_the_old_file_or_the_new_one(tmp_path: Path, flushed: list[str]) -> None:
    replace(tmp_path / "run.json", "new")
    content, published, folder = flushed
    assert content.startswith("fsync .tmp-run.json-")
    assert published == "rename run.json"
    assert folder == f"fsync {tmp_path.name}"


def test_a_power_cut_finds_a_folder_whole_whoever_wrote_its_files(
    tmp_path: Path, flushed: list[str]
) -> None:
    with building(tmp_path / "model", tag="1") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "weights").write_text("w")
    before = flushed[: flushed.index("rename model")]
    assert set(before) == {"fsync weights", "fsync deep", "fsync .tmp-model-1"}
    assert flushed[-1] == f"fsync {tmp_path.name}"


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with building(tmp_path / "model") as folder:
        (folder / "weights").write_text("w")
        assert not (tmp_path / "model").exists()
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["weights"]


def test_a_folder_that_is_built_again_replaces_the_old_one(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with building(tmp_path / "model") as folder:
            (folder / content).write_text(content)
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["two"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_folder_whose_making_failed_leaves_the_old_one(
    tmp_path: Path, fault: type[BaseException]
) -> None:
    with building(tmp_path / "model") as folder:
        (folder / "old").write_text("old")
    with pytest.raises(fault), building(tmp_path / "model") as folder:
        (folder / "new").write_text("new")
        raise fault
    assert names(tmp_path) == ["model"]
    assert names(tmp_path / "model") == ["old"]


def test_leftovers_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".tmp-model-1").mkdir()
    (tmp_path / ".tmp-model-1" / "half").write_text("x")
    (tmp_path / ".tmp-run.json-2").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("x")
    (tmp_path / ".tmp-link").symlink_to(tmp_path / "outside")
    (tmp_path / "kept").write_text("x")
    assert remove_leftovers(tmp_path) == (".tmp-link", ".tmp-model-1", ".tmp-run.json-2")
    assert names(tmp_path) == ["kept", "outside"]
    assert names(tmp_path / "outside") == ["precious"]
    assert remove_leftovers(tmp_path / "absent") == ()


def test_a_link_to_a_folder_is_not_taken_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError, match="symbolic link"):
        make_folder(tmp_path / "checkpoints")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
