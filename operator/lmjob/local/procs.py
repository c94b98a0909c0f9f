"""Who a process is, beyond its pid: Linux gives a pid to another process one day.

A process is its pid, the tick at which it started, and the boot in which that tick was counted. It
is only ever signalled through a descriptor that was compared with all three.
"""

from __future__ import annotations

import functools
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.contract.environment import NODE_DIR

_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
_ENDED = ("Z", "X")
_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A process that can be recognised again."""

    pid: int
    start: int
    """Clock ticks after boot."""
    boot: str


@functools.cache
def boot() -> str:
    """This boot of the machine."""
    return _BOOT.read_text().strip()


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None if there is none, or only its remains."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name stands in brackets and may hold anything, also brackets.
    state, *numbers = text.rpartition(")")[2].split()
    return None if state in _ENDED else ProcessId(pid=pid, start=int(numbers[18]), boot=boot())


def send(process: ProcessId, number: int) -> bool:
    """Send a signal to this process and to no other that got its pid; False if it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if identify(process.pid) != process:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def of_node(node_dir: Path) -> tuple[ProcessId, ...]:
    """Every process that was started for a node, however it was orphaned since: each has the
    node's folder in its environment."""
    wanted = f"{NODE_DIR}={node_dir}".encode()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        process = identify(int(entry.name))
        if process is not None and wanted in _environment(entry):
            found.append(process)
    return tuple(found)


def end_all(node_dir: Path, grace_seconds: float) -> None:
    """Ask every process of a node to end, kill what is left after the grace period, and return when
    nothing is."""
    deadline = time.monotonic() + grace_seconds
    for process in of_node(node_dir):
        send(process, signal.SIGTERM)
    while left := of_node(node_dir):
        if time.monotonic() >= deadline:
            for process in left:
                send(process, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _environment(entry: Path) -> list[bytes]:
    try:
        return (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
