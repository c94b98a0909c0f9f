"""Checkpoints in parts: whole or absent like all others, put together for any reader."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lmtrainer.checkpoint import (
    Checkpoint,
    Part,
    Snapshot,
    contribute,
    load_optimizer,
    load_weights,
    newest,
    read_into,
    save,
    shards,
)
from lmtrainer.durable import LEFTOVER

Make = Callable[..., Snapshot]
RANKS = 3
WHOLE = torch.arange(40.0).reshape(10, 4)
MOMENT = WHOLE / 3


def unfenced() -> None:
    """Nobody else writes here."""


def part_of(rank: int, make_snapshot: Make, step: int) -> Snapshot:
    """Rows 4 * rank and on; the bias is whole, and rank 0's."""
    rows = slice(4 * rank, 4 * rank + 4)
    weights = {"matrix": WHOLE[rows] + step}
    offsets = {"matrix": (4 * rank, 0), "matrix.exp_avg": (4 * rank, 0), "bias": (0,)}
    if rank == 0:
        weights["bias"] = torch.ones(3) * step
    return dataclasses.replace(
        make_snapshot(step),
        weights=weights,
        optimizer={"matrix.exp_avg": MOMENT[rows]},
        part=Part(rank=rank, ranks=RANKS, offsets=offsets),
    )


def save_parts(root: Path, make_snapshot: Make, step: int) -> Checkpoint:
    threads = [
        threading.Thread(target=contribute, args=(root, part_of(rank, make_snapshot, step)))
        for rank in range(1, RANKS)
    ]
    for thread in threads:
        thread.start()
    saved = save(root, part_of(0, make_snapshot, step), keep=2, fence=unfenced)
    for thread in threads:
        thread.join()
    return saved


def test_parts_are_put_together_for_whole_and_other_cuts(
    tmp_path: Path, make_snapshot: Make, config_hash: str
) -> None:
    saved = save_parts(tmp_path, make_snapshot, 7)
    assert saved.parts == RANKS
    found = newest(tmp_path, config_hash).checkpoint
    assert found == saved
    weights = load_weights(found)
    assert torch.equal(weights["matrix"], WHOLE + 7)
    assert torch.equal(weights["bias"], torch.full((3,), 7.0))
    assert torch.equal(load_optimizer(found)["matrix.exp_avg"], MOMENT)
    names = {path.name for path in saved.path.iterdir()}
    assert not [name for name in names if name.startswith("part") and name.endswith("json")]


def test_a_plain_checkpoint_is_read_in_the_same_way(tmp_path: Path, make_snapshot: Make) -> None:
    snapshot = make_snapshot(3)
    saved = save(tmp_path, snapshot, keep=2, fence=unfenced)
    room = {"embed.weight": torch.zeros(4, 3), "rng": torch.zeros(8, dtype=torch.uint8)}
    read_into(saved.path, room)
    assert torch.equal(room["embed.weight"], snapshot.weights["embed.weight"])
    assert torch.equal(room["rng"], snapshot.optimizer["rng"])


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
@pytest.mark.parametrize("kind", [shards.WEIGHTS, shards.OPTIMIZER])
def test_a_damaged_part_sets_the_checkpoint_aside(
    tmp_path: Path, make_snapshot: Make, config_hash: str, harm: str, kind: str
) -> None:
    older = save_parts(tmp_path, make_snapshot, 1)
    path = save_parts(tmp_path, make_snapshot, 2).path / shards.files_of(1)[kind]
    data = bytearray(path.read_bytes())
    if harm == "remove":
        path.unlink()
    else:
        data[-3] ^= 4
        path.write_bytes({"flip": data, "cut": data[:-1], "empty": b""}[harm])
    found = newest(tmp_path, config_hash)
    assert found.checkpoint == older
    assert len(found.set_aside) == 1


def test_a_part_that_never_comes_ends_the_save_and_leaves_nothing(
    tmp_path: Path, make_snapshot: Make, config_hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_parts(tmp_path, make_snapshot, 1)
    monkeypatch.setattr(shards, "PART_SECONDS", 0.2)
    with pytest.raises(OSError, match="rank 1 did not write its part"):
        save(tmp_path, part_of(0, make_snapshot, 2), keep=2, fence=unfenced)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(LEFTOVER)]
    found = newest(tmp_path, config_hash).checkpoint
    assert found is not None
    assert found.position.step == 1


def test_rank_0_gone_ends_the_wait_of_the_others(
    tmp_path: Path, make_snapshot: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "PART_SECONDS", 0.2)
    with pytest.raises(OSError, match="rank 0 did not begin"):
        contribute(tmp_path, part_of(1, make_snapshot, 2))
