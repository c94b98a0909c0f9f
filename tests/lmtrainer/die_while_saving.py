"""Saves a checkpoint again and again, each time in a child that kills itself some system calls
later.

    python die_while_saving.py FOLDER STRIDE [RANK]

FOLDER/start holds `checkpoints` of steps 1 and 2. Each child saves step 3 into its own copy,
FOLDER/<k>, keeping two, and dies by SIGKILL at its k-th call that changes the disk: a write has
then put half of its bytes there; k grows by STRIDE. Ends with the first child that lives to the end
of its save. With RANK two children save it in parts, and the one of that rank dies; the other is
killed then, as a launcher would.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lmtrainer.checkpoint import (
    Checkpoint,
    Part,
    Snapshot,
    State,
    contribute,
    load,
    save,
    verify,
)
from lmtrainer.contract.reports import Position

CALLS = ("open", "write", "fsync", "mkdir", "rename", "replace", "unlink", "rmdir")


def unfenced() -> None:
    """Nobody else writes here."""


def die_at(k: int) -> None:
    """From now on the k-th call ends this process."""
    seen = 0

    def hooked(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == k:
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, hooked(name, getattr(os, name)))


def next_snapshot(older: Checkpoint) -> Snapshot:
    found = load(older)
    state = State(
        position=Position(phase_index=0, step=3, phase="main"),
        job_uid=found.state.job_uid,
        attempt=2,
        config_hash=found.state.config_hash,
        world_size=1,
    )
    weights = {name: torch.full_like(tensor, 3) for name, tensor in found.weights.items()}
    return Snapshot(state=state, weights=weights, optimizer={}, model_config="{}")


def part_of(whole: Snapshot, rank: int) -> Snapshot:
    """Every tensor is some rank's alone."""
    mine = {name: t for number, (name, t) in enumerate(whole.weights.items()) if number % 2 == rank}
    offsets = {name: (0,) * tensor.dim() for name, tensor in mine.items()}
    part = Part(rank=rank, ranks=2, offsets=offsets)
    return dataclasses.replace(whole, weights=mine, optimizer={}, part=part)


def start(root: Path, rank: int | None, k: int | None) -> int:
    """A child that saves, or its part as that rank; dies at its k-th call."""
    child = os.fork()
    if child == 0:
        snapshot = next_snapshot(verify(root / "0-main-step-00000002", "c" * 64))
        if rank is not None:
            snapshot = part_of(snapshot, rank)
        if k is not None:
            die_at(k)
        if rank:
            contribute(root, snapshot)
        else:
            save(root, snapshot, keep=2, fence=unfenced)
        os._exit(0)
    return child


def save_and_die(root: Path, k: int, victim: int | None) -> int:
    """How the child that saves into `root`, or that one of two, ended."""
    other = None if victim is None else start(root, 1 - victim, None)
    status = os.waitpid(start(root, victim, k), 0)[1]
    if other is not None:
        if status != 0:
            os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
    return status


def main(folder: Path, stride: int, victim: int | None) -> None:
    for k in range(1, 1000, stride):
        root = folder / str(k)
        shutil.copytree(folder / "start" / "checkpoints", root)
        status = save_and_die(root, k, victim)
        if status == 0:
            return
        assert os.WTERMSIG(status) == signal.SIGKILL, status
    raise AssertionError("the save never ended")


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, stride, *victim = sys.argv[1:]
    main(Path(folder), int(stride), int(victim[0]) if victim else None)
