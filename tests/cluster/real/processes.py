"""Processes of pods: they are processes of this machine, known by their environment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from lmtrainer.contract.environment import JOB_UID, NODE_RANK


def kill_rank(job_uid: str, rank: int) -> None:
    """SIGKILL the process of one rank; its launcher lives on."""
    found = sorted(_ranks(job_uid, rank))
    assert found, f"no process of rank {rank}"
    os.kill(found[0], signal.SIGKILL)


def _ranks(job_uid: str, rank: int) -> Iterator[int]:
    wanted = {f"{JOB_UID}={job_uid}", f"RANK={rank}", f"{NODE_RANK}={rank}"}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if wanted <= set(variables):
            yield int(path.parent.name)
