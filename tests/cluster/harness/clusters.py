"""A cluster of the tests' own: an API server with its controllers, made and ended by the tool."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.access import Access, read_access

ARGUMENTS = ("--nodes", "0", "--node-grace", "10h")
"""Nodes are scripted ones, whose heartbeats nobody sends."""
API_ARGUMENTS = "--storage-media-type=application/json"
"""So that the recorder can read what etcd holds."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster: the door to its API, to its store, and to its processes."""

    tool: Path
    name: str
    access: Access
    etcd: str
    """host:port of the store, plain HTTP."""

    def command(self, *arguments: str) -> str:
        """What the tool answers, such as to `stop --kill kube-apiserver`."""
        return _call(self.tool, self.name, *arguments)


@contextmanager
def own_cluster(tool: Path, name: str, *api_arguments: str) -> Iterator[Cluster]:
    """A fresh cluster, gone afterwards. `api_arguments`: more flags for its API server."""
    _call(tool, name, "down")
    try:
        flags = " ".join((API_ARGUMENTS, *api_arguments))
        _call(tool, name, "up", *ARGUMENTS, f"--apiserver-args={flags}")
        yield found(tool, name)
    finally:
        for unit in ("kube-apiserver", "etcd"):  # at once: they would wait for open watches
            _call(tool, name, "stop", "--kill", unit)
        _call(tool, name, "down")


def found(tool: Path, name: str) -> Cluster:
    """A cluster of this name that is already up."""
    words = _call(tool, name, "env").split()
    kubeconfig = Path(next(w for w in words if w.startswith("KUBECONFIG=")).partition("=")[2])
    ports = json.loads((kubeconfig.parent / "settings.json").read_text())["ports"]
    return Cluster(tool, name, read_access(kubeconfig), f"127.0.0.1:{ports[0]}")


def _call(tool: Path, name: str, *arguments: str) -> str:
    command = [str(tool), "--name", name, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ, timeout=180, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout
