"""The rank processes of a node: start, signals and endings. Caller: `node`.

Of torch.distributed.elastic we keep the error files and the names in the environment, but not its
process contexts: they install signal handlers of their own, kill after 30 s whatever the pod's
grace period is, signal only the process and so leave its children behind, and need torch in every
launcher.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.contract.reports import heartbeat_file
from lmtrainer.launch.folder import read_error
from lmtrainer.launch.prefix import follow
from lmtrainer.launch.rank_environment import LAUNCHER_PID, rank_environment
from lmtrainer.launch.stacks import ANSWER_SECONDS, SIGNAL, Stack, can_answer, read
from lmtrainer.launch.verdict import Ending
from lmtrainer.progress.files import touch

OUTPUT_SECONDS = 2.0
"""How long the last lines of a rank may take."""


@dataclass
class _Rank:
    rank: int
    process: subprocess.Popen[bytes]
    readers: list[Any]
    begun: float
    """Unix time of the sign of life that the launcher gave in its place."""
    sent: set[int] = field(default_factory=set)
    stack: Stack | None = None
    asked_at: float | None = None
    ending: Ending | None = None


class Ranks:
    """All ranks of a node. Call from the main thread only: a rank dies with the thread that
    started it."""

    def __init__(self, node: NodeEnvironment, command: Sequence[str]) -> None:
        self._node = node
        self._command = tuple(command)
        self._folder = Path(node.node_dir)
        self._environments: list[dict[str, str]] = []
        self._ranks: list[_Rank] = []

    @property
    def started(self) -> bool:
        return bool(self._ranks)

    @property
    def running(self) -> bool:
        return any(rank.ending is None for rank in self._ranks)

    @property
    def pids(self) -> frozenset[int]:
        return frozenset(rank.process.pid for rank in self._ranks)

    @property
    def endings(self) -> tuple[Ending, ...]:
        return tuple(rank.ending for rank in self._ranks if rank.ending is not None)

    @property
    def heartbeats(self) -> dict[str, float]:
        """Rank -> seconds since its last sign of life; its start counts as the first."""
        now = time.time()
        files = ((r.rank, self._folder / heartbeat_file(r.rank)) for r in self._ranks)
        return {
            str(rank): max(0.0, now - path.stat().st_mtime) for rank, path in files if path.exists()
        }

    def prepare(self, env: Mapping[str, str], *, master_port: int, threads: int | None) -> None:
        """Settle what the ranks will be told; see `rank_environment`."""
        tied = {**env, LAUNCHER_PID: str(os.getpid())}
        self._environments = [
            rank_environment(tied, self._node, index, master_port=master_port, threads=threads)
            for index in range(self._node.nproc_per_node)
        ]

    def start(self) -> None:
        """Start every rank, each in a session of its own, so that Ctrl-C in a terminal reaches the
        launcher alone, and so that a rank can be killed with all its children."""
        for told in self._environments:
            self._start(int(told["RANK"]), told)

    def poll(self) -> None:
        """Notice ranks that have ended, and end what they left behind."""
        for rank in self._ranks:
            if rank.ending is None and _has_ended(rank.process.pid):
                _signal_group(rank.process.pid, signal.SIGKILL)
                rank.ending = self._ending(rank, rank.process.wait())

    def ask_to_end(self) -> None:
        """SIGTERM, to the ranks alone: their helpers may be needed to save."""
        for rank in self._ranks:
            if rank.ending is None:
                rank.asked_at = time.time()
                rank.sent.add(signal.SIGTERM)
                os.kill(rank.process.pid, signal.SIGTERM)  # not reaped, so it is still its pid

    def silent(self, seconds: float) -> dict[int, float]:
        """Ranks that gave signs of life of their own, and none for so long -> for how long."""
        now, found = time.time(), {}
        for rank in self._ranks:
            path = self._folder / heartbeat_file(rank.rank)
            if rank.ending is None and path.exists():
                last = path.stat().st_mtime
                if last > rank.begun and now - last > seconds:
                    found[rank.rank] = now - last
        return found

    def ask_for_stacks(self) -> dict[int, Stack]:
        """Where the ranks that run stand; takes a second if there is any."""
        asked = [r for r in self._ranks if r.ending is None and can_answer(self._folder, r.rank)]
        for rank in asked:
            os.kill(rank.process.pid, SIGNAL)
        if asked:
            time.sleep(ANSWER_SECONDS)
        for rank in asked:
            rank.stack = read(self._folder, rank.rank)
        return {rank.rank: rank.stack or Stack() for rank in self._ranks if rank.ending is None}

    def kill(self) -> None:
        """SIGKILL, to the ranks and all their children. They are asked where they stand first."""
        self.ask_for_stacks()
        for rank in self._ranks:
            if rank.ending is None:
                rank.asked_at = rank.asked_at or time.time()
                rank.sent.add(signal.SIGKILL)
                _signal_group(rank.process.pid, signal.SIGKILL)

    def drain(self) -> None:
        """Let the last lines of the ranks through."""
        deadline = time.monotonic() + OUTPUT_SECONDS
        for rank in self._ranks:
            for reader in rank.readers:
                reader.join(max(0.0, deadline - time.monotonic()))

    def _start(self, rank: int, env: Mapping[str, str]) -> None:
        path = self._folder / heartbeat_file(rank)
        touch(path)
        several = self._node.nproc_per_node > 1
        process = subprocess.Popen(
            self._command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if several else None,
            stderr=subprocess.PIPE if several else None,
            start_new_session=True,
        )
        pairs = ((process.stdout, sys.stdout.buffer), (process.stderr, sys.stderr.buffer))
        readers = [follow(source, to, f"[rank {rank}] ") for source, to in pairs if source]
        self._ranks.append(_Rank(rank, process, readers, path.stat().st_mtime))

    def _ending(self, rank: _Rank, code: int) -> Ending:
        at, message, exception = read_error(self._folder, rank.rank)
        return Ending(
            rank=rank.rank,
            code=code,
            at=at or time.time(),
            message=message,
            exception=exception,
            asked_at=rank.asked_at,
            sent=frozenset(rank.sent),
            stack=rank.stack,
        )


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; its status stays, so its pid and group cannot be another's."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return
