"""A save in the background keeps what was, holds nobody up, and hides no fault."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lmtrainer.checkpoint import BackgroundSaver, Checkpoint, Snapshot, load, save

Make = Callable[..., Snapshot]


def unfenced() -> None:
    """Nobody else writes here."""


def writer(root: Path) -> Callable[[Snapshot], Checkpoint]:
    return lambda snapshot: save(root, snapshot, keep=2, fence=unfenced)


def test_what_is_saved_is_what_the_tensors_were(tmp_path: Path, make_snapshot: Make) -> None:
    saver, snapshot = BackgroundSaver(), make_snapshot(1)
    kept = {name: tensor.clone() for name, tensor in snapshot.weights.items()}
    release = threading.Event()

    def slowly(copied: Snapshot) -> Checkpoint:
        assert release.wait(10)
        return writer(tmp_path)(copied)

    saver.begin(snapshot, slowly)
    saver.staged()
    for tensor in (*snapshot.weights.values(), *snapshot.optimizer.values()):
        tensor.zero_()
    assert saver.poll() is None, "it has not been written yet"
    release.set()
    saved = saver.finish()
    assert saved is not None
    found = load(saved).weights
    for name, tensor in kept.items():
        assert torch.equal(found[name], tensor)
    assert found["embed.weight"].data_ptr() == found["head.weight"].data_ptr(), "still tied"
    assert saver.finish() is None, "it is told once"


def test_the_update_waits_for_the_copy_and_not_for_the_disk(make_snapshot: Make) -> None:
    saver, copying, release = BackgroundSaver(), threading.Event(), threading.Event()
    copy = saver._copy

    def slow_copy(snapshot: Snapshot, mark: torch.cuda.Event | None) -> Snapshot:
        copying.wait(10)
        return copy(snapshot, mark)

    saver._copy = slow_copy  # type: ignore[method-assign]

    def write(snapshot: Snapshot) -> Checkpoint:
        release.wait(10)
        raise OSError("not reached in this test")

    saver.begin(make_snapshot(1), write)
    waiting = threading.Thread(target=saver.staged)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive(), "the tensors are still to be copied"
    copying.set()
    waiting.join(10)
    assert not waiting.is_alive()
    release.set()
    with pytest.raises(OSError, match="not reached"):
        saver.finish()


def test_a_fault_is_raised_where_training_asks_next(make_snapshot: Make) -> None:
    saver = BackgroundSaver()

    def full(snapshot: Snapshot) -> Checkpoint:
        raise OSError(28, "No space left on device")

    saver.begin(make_snapshot(1), full)
    saver._thread.join()  # type: ignore[union-attr]
    with pytest.raises(OSError, match="No space"):
        saver.poll()
    saver.begin(make_snapshot(2), full)
    with pytest.raises(OSError, match="No space"):
        saver.begin(make_snapshot(3), full)


def test_never_two_at_once(tmp_path: Path, make_snapshot: Make) -> None:
    saver, running, most = BackgroundSaver(), 0, 0
    lock = threading.Lock()

    def counted(snapshot: Snapshot) -> Checkpoint:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        saved = writer(tmp_path)(snapshot)
        with lock:
            running -= 1
        return saved

    told = [saver.begin(make_snapshot(step), counted) for step in range(1, 5)]
    told.append(saver.finish())
    assert [t.position.step for t in told if t is not None] == [1, 2, 3, 4]
    assert most == 1
