"""Processes of pods: they are processes of this machine, known by their environment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmtrainer.contract.environment import JOB_UID, NNODES, NODE_RANK


def kill_rank(job_uid: str, rank: int) -> None:
    """SIGKILL the process of one rank; its launcher lives on."""
    found = sorted(_processes({JOB_UID: job_uid, NODE_RANK: str(rank), "RANK": str(rank)}))
    assert found, f"no process of rank {rank}"
    os.kill(found[0], signal.SIGKILL)


def kill_operator(pod: str) -> None:
    """SIGKILL the operator in a pod."""
    found = list(_processes({"LMJOB_IDENTITY": pod}))
    assert found, f"no process of {pod}"
    for pid in found:
        os.kill(pid, signal.SIGKILL)


@contextmanager
def frozen_master(job_uid: str, nodes: int, seconds: float) -> Iterator[None]:
    """The launcher of a group's master, stopped before it can become ready; it goes on at the end.
    AssertionError if there is none in time."""
    deadline = time.monotonic() + seconds
    wanted = {JOB_UID: job_uid, NODE_RANK: "0", NNODES: str(nodes)}
    while not (found := list(_processes(wanted))):
        assert time.monotonic() < deadline, "no launcher of a master"
        time.sleep(0.02)
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in set(found) & set(_processes(wanted)):
            os.kill(pid, signal.SIGCONT)


def _processes(variables: dict[str, str]) -> Iterator[int]:
    """Those whose environment holds all of these."""
    wanted = {f"{name}={value}" for name, value in variables.items()}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if wanted <= set(found):
            yield int(path.parent.name)
