"""One stage of a run on this node: `lmtrainer launch` in a process of its own, under the contract
that the operator and `lmjob run` keep, too."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from lmtrainer.compat.translation import Group
from lmtrainer.config import ResolvedRun, config_hash, document
from lmtrainer.contract.arguments import Stage, launch_arguments
from lmtrainer.contract.environment import (
    DIE_WITH_PARENT,
    NodeEnvironment,
    surroundings,
    to_env,
)
from lmtrainer.durable import make_folder, replace

PATIENCE_SECONDS = 86_400.0
"""How long nodes wait for each other: node 0 prepares the dataset first."""

GRACE_SECONDS = 60.0
"""Between SIGTERM and SIGKILL of ranks, which save a checkpoint in it."""

STATE = ".lmtrainer"
"""Folder of the nodes' own files, in that of the run."""


def run_stage(stage: Stage, run: ResolvedRun, group: Group, folder: Path) -> int:
    """Run a stage's part on this node; `folder` is that of the run. Returns the exit code."""
    home = folder / STATE / f"{stage}-{group.node_rank}"
    make_folder(home)
    config = home / "config.json"
    replace(config, json.dumps(document(run), indent=1, allow_nan=False) + "\n")
    node = NodeEnvironment(
        # Nodes that were given the same command line belong together, and so does the same again.
        job_uid=f"run-{config_hash(run)[:24]}",
        attempt=1,
        node_rank=group.node_rank,
        nnodes=group.nodes,
        nproc_per_node=group.processes,
        master_addr=group.master_addr,
        master_port=group.master_port,
        status_port=0,
        node_dir=str(home),
        termination_log=str(home / "termination.json"),
        grace_seconds=GRACE_SECONDS,
        rendezvous_seconds=PATIENCE_SECONDS,
    )
    program = (sys.executable, "-P", "-m", "lmtrainer")
    with _passed_on() as started:
        process = subprocess.Popen(
            [*program, *launch_arguments(stage, str(config))],
            env={**surroundings(os.environ), **to_env(node), DIE_WITH_PARENT: "1"},
        )
        started.append(process)
        return process.wait()


@contextlib.contextmanager
def _passed_on() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Pass SIGTERM and SIGINT on to what was started, and wait for its end as before."""
    started: list[subprocess.Popen[bytes]] = []

    def tell(number: int, frame: FrameType | None) -> None:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield started
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
