"""Whatever kills or starves a save, the next start finds the checkpoint before it or the new one,
whole, and never anything else."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lmtrainer.checkpoint import Checkpoint, Snapshot, load, newest, save
from lmtrainer.contract.exits import ExitType
from lmtrainer.durable import LEFTOVER
from lmtrainer.faults import exit_type
from tests.faultpoints import ALL

pytestmark = pytest.mark.chaos

Make = Callable[..., Snapshot]

WRITING = ("open", "write", "fsync", "mkdir", "rename", "replace")
"""Calls of `os` by which a save changes the disk, or reads it back."""


def unfenced() -> None:
    """Nobody else writes here."""


def names(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir())


def weight(checkpoint: Checkpoint) -> float:
    """The number that `make_snapshot` and `die_while_saving` put in front: the step."""
    return float(load(checkpoint).weights["embed.weight"][0, 0])


def assert_whole(root: Path, config_hash: str, steps: tuple[int, ...]) -> int:
    """The newest checkpoint is of one of `steps` with its own weights, none was damaged, and a
    save goes through. Returns its step."""
    found = newest(root, config_hash)
    assert found.set_aside == ()
    assert found.checkpoint is not None
    step = found.checkpoint.position.step
    assert step in steps
    assert weight(found.checkpoint) == step
    assert not [name for name in names(root) if name.startswith(LEFTOVER)]
    return step


def test_killed_at_every_call_of_a_save(
    tmp_path: Path, make_snapshot: Make, config_hash: str
) -> None:
    for step in (1, 2):
        save(tmp_path / "start" / "checkpoints", make_snapshot(step), keep=2, fence=unfenced)
    wrecks = wrecks_of(tmp_path, stride=1)
    steps = [assert_whole(tmp_path / str(k), config_hash, (2, 3)) for k in wrecks]
    assert len(wrecks) > 40, "there are that many calls in a save"
    assert steps == sorted(steps), "once the new one is there it stays"
    assert {2, 3} == set(steps)
    again = save(tmp_path / "1", make_snapshot(3, attempt=3), keep=2, fence=unfenced)
    assert load(again).state.attempt == 3


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_two_ranks_killed_while_they_save_in_parts(
    tmp_path: Path, make_snapshot: Make, config_hash: str, rank: int
) -> None:
    for step in (1, 2):
        save(tmp_path / "start" / "checkpoints", make_snapshot(step), keep=2, fence=unfenced)
    wrecks = wrecks_of(tmp_path, 1 if ALL else 9, str(rank))
    assert len(wrecks) > (10 if ALL else 1), "there are that many calls in a save"
    for k in wrecks:
        assert_whole(tmp_path / str(k), config_hash, (2, 3))


def wrecks_of(folder: Path, stride: int, *rank: str) -> list[int]:
    """The numbers of the calls at which a save was killed: see `die_while_saving`."""
    script = Path(__file__).with_name("die_while_saving.py")
    command = [sys.executable, str(script), str(folder), str(stride), *rank]
    subprocess.run(command, check=True, timeout=240)
    return sorted(int(name) for name in names(folder) if name.isdigit())


def fail_at(monkeypatch: pytest.MonkeyPatch, k: int, code: int) -> None:
    """The k-th call that writes fails, as it does on a full or broken disk; a write in its
    middle."""
    seen = 0

    def hooked(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == k:
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                path = () if isinstance(args[0], int) else (os.fspath(args[0]),)
                raise OSError(code, os.strerror(code), *path)
            return real(*args, **kwargs)

        return call

    for name in WRITING:
        monkeypatch.setattr(os, name, hooked(name, getattr(os, name)))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_call_ends_the_save_clearly(
    tmp_path: Path,
    make_snapshot: Make,
    config_hash: str,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    failed = 0
    for k in range(1, 200):
        root = tmp_path / str(k)
        for step in (1, 2):
            save(root, make_snapshot(step), keep=2, fence=unfenced)
        with monkeypatch.context() as patch:
            fail_at(patch, k, code)
            try:
                save(root, make_snapshot(3), keep=2, fence=unfenced)
                ended = None
            except OSError as fault:
                ended = fault
        if ended is None:
            break
        failed += 1
        assert ended.errno == code
        assert exit_type(ended) is ExitType.DISK_FULL
        assert ended.filename, "the message names the place"
        assert not [name for name in names(root) if name.startswith(LEFTOVER)]
        assert_whole(root, config_hash, (2, 3))
    assert failed > 30


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 512 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("kib_free", [0, 4, 16, 40, 80, 96])
def test_a_full_disk_ends_clearly_and_leaves_the_older_checkpoint_intact(
    small_disk: Path, make_snapshot: Make, config_hash: str, kib_free: int
) -> None:
    root = small_disk / "checkpoints"
    for step in (1, 2):
        save(root, big(make_snapshot(step)), keep=2, fence=unfenced)
    free = os.statvfs(small_disk)
    ballast = free.f_bavail * free.f_frsize - kib_free * 1024
    (small_disk / "ballast").write_bytes(bytes(ballast))
    with pytest.raises(OSError) as caught:
        save(root, big(make_snapshot(3)), keep=2, fence=unfenced)
    assert caught.value.errno == errno.ENOSPC
    assert exit_type(caught.value) is ExitType.DISK_FULL
    assert assert_whole(root, config_hash, (2,)) == 2
    (small_disk / "ballast").unlink()
    save(root, big(make_snapshot(3)), keep=2, fence=unfenced)
    assert assert_whole(root, config_hash, (3,)) == 3


def big(snapshot: Snapshot) -> Snapshot:
    """The same with moments of 100 KB, so that a file is longer than a page."""
    moments = {"moments": torch.zeros(25_000)}
    return Snapshot(
        state=snapshot.state,
        weights=snapshot.weights,
        optimizer=moments,
        model_config=snapshot.model_config,
    )


def test_a_limit_on_the_size_of_files_ends_clearly(
    tmp_path: Path, make_snapshot: Make, config_hash: str
) -> None:
    save(tmp_path, make_snapshot(1), keep=2, fence=unfenced)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"optimizer\.safetensors"):
            save(tmp_path, big(make_snapshot(2)), keep=2, fence=unfenced)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert assert_whole(tmp_path, config_hash, (1,)) == 1


def place(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is written, flushed and renamed from now on, in order, with the paths."""
    seen: list[tuple[str, str]] = []
    write, fsync, rename = os.write, os.fsync, os.rename

    def traced_write(descriptor: int, data: memoryview) -> int:
        seen.append(("write", place(descriptor)))
        return write(descriptor, data)

    def traced_fsync(descriptor: int) -> None:
        seen.append(("fsync", place(descriptor)))
        fsync(descriptor)

    def traced_rename(source: Any, target: Any, **kwargs: Any) -> None:
        seen.append(("rename", os.fspath(target)))
        rename(source, target, **kwargs)

    monkeypatch.setattr(os, "write", traced_write)
    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "rename", traced_rename)
    return seen


def test_a_power_cut_finds_nothing_published_that_is_not_on_the_disk(
    tmp_path: Path, make_snapshot: Make, trace: list[tuple[str, str]]
) -> None:
    """A kill leaves the page cache; a power cut keeps only what was flushed, so order is all."""
    for step in (1, 2):
        save(tmp_path, make_snapshot(step), keep=2, fence=unfenced)
    trace.clear()
    saved = save(tmp_path, make_snapshot(3), keep=2, fence=unfenced)
    published = trace.index(("rename", str(saved.path)))
    beside = str(tmp_path / f"{LEFTOVER}{saved.path.name}")
    written = {path for call, path in trace if call == "write" and path.startswith(beside)}
    assert len(written) == len(list(saved.path.iterdir()))
    for path in written:
        last_write = max(i for i, event in enumerate(trace) if event == ("write", path))
        flushed = trace.index(("fsync", path), last_write)
        folder_flushed = trace.index(("fsync", str(Path(path).parent)), flushed)
        assert flushed < folder_flushed < published
    parent_flushed = trace.index(("fsync", str(tmp_path)), published)
    (removed,) = [i for i, (call, path) in enumerate(trace) if call == "rename" and "old-" in path]
    assert published < parent_flushed < removed
