"""Saves a checkpoint again and again, each time in a child that kills itself one system call later.

    python die_while_saving.py FOLDER

FOLDER/start holds `checkpoints` of steps 1 and 2. Each child saves step 3 into its own copy,
FOLDER/<k>, keeping two, and dies by SIGKILL at its k-th call that changes the disk: a write has
then put half of its bytes there. Ends with the first child that lives to the end of its save.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lmtrainer.checkpoint import Checkpoint, Snapshot, State, load, save, verify
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


def save_and_die(root: Path, k: int) -> int:
    """How the child that saves into `root` ended."""
    child = os.fork()
    if child == 0:
        found = verify(root / "0-main-step-00000002", "c" * 64)
        snapshot = next_snapshot(found)
        die_at(k)
        save(root, snapshot, keep=2, fence=unfenced)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def main(folder: Path) -> None:
    for k in range(1, 1000):
        root = folder / str(k)
        shutil.copytree(folder / "start" / "checkpoints", root)
        status = save_and_die(root, k)
        if status == 0:
            return
        assert os.WTERMSIG(status) == signal.SIGKILL, status
    raise AssertionError("the save never ended")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
