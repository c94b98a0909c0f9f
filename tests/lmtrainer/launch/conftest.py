"""Starts real launchers as the nodes of a job; their ranks are small scripts."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.contract.environment import NodeEnvironment, to_env
from lmtrainer.contract.reports import ANNOUNCEMENT_FILE, Announcement, Termination, load

CONFIG = {
    "seed": 1,
    "threadsPerProcess": 3,
    "data": {"train": ["text.txt"]},
    "model": {"type": "bert", "preset": "tiny"},
    "phases": [{"name": "main", "steps": 10}],
    "output": {"to": "out"},
}

LAUNCH = """
import os, sys
from lmtrainer.launch.node import run_node
code = run_node("train", sys.argv[1], os.environ, sys.argv[2:])
sys.stdout.flush()
os._exit(code)
"""

# The entry of every real rank, with a stage that the test wrote in the place of `train`.
AS_STAGE = """
import sys, types
stage = types.ModuleType("lmtrainer.stages.train")
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), stage.__dict__)
sys.modules["lmtrainer.stages.train"] = stage
from lmtrainer.cli import main
sys.exit(main(["rank", "--stage", "train", "--config", sys.argv[2]]))
"""


def eventually(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of `look`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not so within {seconds} s")


def is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class StartedNode:
    """A launcher that runs, or ran."""

    def __init__(self, node: NodeEnvironment, command: list[str], env: dict[str, str]) -> None:
        self.folder = Path(node.node_dir)
        self.log = self.folder / "log.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **to_env(node), **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def announcement(self) -> Announcement | None:
        path = self.folder / ANNOUNCEMENT_FILE
        return load(Announcement, path.read_text()) if path.exists() else None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        """HTTP status and body; waits for the port to be announced."""
        announced = eventually(lambda: self.announcement)
        connection = http.client.HTTPConnection("127.0.0.1", announced.status_port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def file(self, name: str, seconds: float = 20.0) -> str:
        """A file that a rank writes into the node's folder, once it is there."""
        return str(eventually(lambda: _text(self.folder / name), seconds))

    def end(self, seconds: float = 20.0) -> Termination:
        """The last word, once the launcher has ended."""
        self.code = self.process.wait(seconds)
        return load(Termination, (self.folder / "termination").read_text())


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


class Starter:
    """Starts nodes; every process of theirs ends with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[StartedNode] = []

    def __call__(
        self,
        script: str,
        *,
        config: object = CONFIG,
        as_stage: bool = False,
        entry: bool = False,
        env: dict[str, str] | None = None,
        before: tuple[str, ...] = (),
        **fields: Any,
    ) -> StartedNode:
        """A node whose ranks run `script`: as it is, or as the stage of a real rank; with `entry`
        the launcher starts what its configuration says."""
        folder = self._folder / f"node-{len(self._started)}"
        folder.mkdir()
        run, rank = folder / "config.json", folder / "rank.py"
        run.write_text(config if isinstance(config, str) else json.dumps(config))
        rank.write_text(textwrap.dedent(script))
        told = {
            "job_uid": "job-a",
            "attempt": 1,
            "master_port": 0,
            "status_port": 0,
            "node_dir": str(folder),
            "termination_log": str(folder / "termination"),
            "grace_seconds": 5.0,
            "rendezvous_seconds": 20.0,
        }
        python = [sys.executable, "-P"]
        ranks = [*python, "-c", AS_STAGE, str(rank), str(run)] if as_stage else [*python, str(rank)]
        command = [*before, *python, "-c", LAUNCH, str(run), *([] if entry else ranks)]
        node = StartedNode(NodeEnvironment(**{**told, **fields}), command, env or {})
        self._started.append(node)
        return node

    def program(
        self,
        command: list[str],
        *,
        output: Path,
        copy_to: str | None = None,
        env: dict[str, str] | None = None,
        hang_seconds: int | None = None,
        **fields: Any,
    ) -> StartedNode:
        """A node whose ranks are a program of the user's own, started as a job starts it."""
        run = {
            "command": command,
            "threadsPerProcess": 1,
            "hangSeconds": hang_seconds,
            "output": {"to": str(output), "copyTo": copy_to},
        }
        return self("", config=run, entry=True, env=env, **fields)

    def end(self) -> None:
        for node in self._started:
            node.process.kill()
            node.process.wait()
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pids(self) -> list[int]:
        """Every running process that has a folder of these nodes in its environment."""
        mark = f"LMTRAINER_NODE_DIR={self._folder}/".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes() and is_running(int(path.parent.name)):
                    found.append(int(path.parent.name))
        return found


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    starter.end()


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def runs() -> Callable[[int], bool]:
    return is_running
