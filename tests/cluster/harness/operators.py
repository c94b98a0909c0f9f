"""Operators as processes: started as a user starts them, killed as a kernel kills them.

`Operator` is `python -m MODULE`. `Nursery` has the module imported already and forks: the same
program in a process of its own, in milliseconds, for tests that start hundreds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

ENTRY = "lmjob.kube.main"
"""The operator itself. Mutants of the tests have entries of their own."""

ROOT = Path(__file__).parents[3]


class Starter(Protocol):
    """Starts a process with this environment that writes to this log; returns its pid."""

    def __call__(self, environment: Mapping[str, str], log: Path) -> int: ...


def settings(namespace: str, kubeconfig: Path, **more: str) -> dict[str, str]:
    """The environment of an operator of one namespace, with a lease of its own: one that is started
    again bears the same name and leads at once."""
    return {
        "KUBECONFIG": str(kubeconfig),
        "LMJOB_NAMESPACES": namespace,
        "LMJOB_LEASE_NAMESPACE": namespace,
        "LMJOB_RESYNC_SECONDS": "5",
        "LMJOB_IDENTITY": namespace,
        "LMJOB_HTTP_PORT": "0",
        "LMJOB_TRAINER_IMAGE": "example.org/lmtrainer:test",
        **more,
    }


class Operator:
    """One operator that may die and be started again, with one log."""

    def __init__(self, starter: Starter, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self.starts = 0
        self._starter = starter
        self._environment = dict(environment)
        self._pid = 0
        self._killed = False
        self._lock = threading.RLock()
        """A door kills it while a test looks at it."""
        self._born = ""

    def start(self) -> None:
        with self._lock:
            self._pid = self._starter(self._environment, self.log)
            self._born = _born(self._pid)
            self._killed = False
            self.starts += 1

    def kill(self) -> None:
        """SIGKILL, and wait for the end. No error if it has ended before."""
        self._signal(signal.SIGKILL)
        while self.alive:
            time.sleep(0.001)

    def stop(self, seconds: float = 10.0) -> None:
        """SIGTERM, and SIGKILL if it does not end in time."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        self.kill()

    def kill_and_start(self) -> None:
        with self._lock:
            self.kill()
            self.start()

    @property
    def alive(self) -> bool:
        """The very process: its number may be another's by now."""
        return bool(self._born) and _born(self._pid) == self._born

    @property
    def crashed(self) -> bool:
        """It has ended, and nobody asked for that."""
        with self._lock:
            return self.starts > 0 and not self._killed and not self.alive

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""

    def _signal(self, number: int) -> None:
        self._killed = True
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)


class Program:
    """Starts `python -m MODULE` each time."""

    def __init__(self, module: str = ENTRY) -> None:
        self._module = module
        self._children: list[subprocess.Popen[bytes]] = []

    def __call__(self, environment: Mapping[str, str], log: Path) -> int:
        with log.open("ab") as sink:
            child = subprocess.Popen(
                [sys.executable, "-m", self._module],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=ROOT,
                env={**os.environ, **environment},
            )
        self._children.append(child)
        return child.pid

    def close(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()


class Nursery:
    """Forks a process that has imported the module. One for a whole session."""

    def __init__(self, module: str = ENTRY) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.harness.nursery", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __call__(self, environment: Mapping[str, str], log: Path) -> int:
        assert self._process.stdin and self._process.stdout
        with self._lock:
            self._process.stdin.write(
                json.dumps({"env": dict(environment), "log": str(log)}) + "\n"
            )
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        assert answer.strip().isdigit(), (
            "the nursery of operators has ended; its error stands above"
        )
        return int(answer)

    def close(self) -> None:
        """Ends what it has started, too."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def _born(pid: int) -> str:
    """When a process was started, in ticks since boot; empty if it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[19]
