"""The cluster whose nodes are hosts of this machine, and the tool that breaks them.

Parts of it are named as the tool's `status` names them: `kube-apiserver`, `coredns`, ...
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.harness.access import Access, read_access
from tests.cluster.harness.api import Api

NEEDS = (
    "needs a cluster with real nodes on this machine: set KUBECONFIG to its file and "
    "LMJOB_CLUSTER_TOOL to the tool that made it, and put kubectl and helm on the PATH"
)


def why_not() -> str:
    """What is missing for tests in real pods; empty if nothing is."""
    named = os.environ.get("KUBECONFIG") and os.environ.get("LMJOB_CLUSTER_TOOL")
    return "" if named and shutil.which("kubectl") and shutil.which("helm") else NEEDS


@dataclass(frozen=True)
class Machine:
    """Commands to the cluster of KUBECONFIG, by kubectl, helm and the tool."""

    kubeconfig: Path
    tool: Path

    @classmethod
    def found(cls) -> Machine:
        return cls(Path(os.environ["KUBECONFIG"]), Path(os.environ["LMJOB_CLUSTER_TOOL"]))

    @property
    def access(self) -> Access:
        return read_access(self.kubeconfig)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        return _run("kubectl", *arguments, stdin=stdin, check=check)

    def helm(self, *arguments: str) -> str:
        return _run("helm", *arguments)

    def command(self, *arguments: str) -> str:
        """Of the tool, such as `node kill 2`. The cluster bears the name of its folder."""
        return _run(str(self.tool), "--name", self.kubeconfig.parent.name, *arguments)

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """Killed now, started again at the end."""
        self.command("stop", "--kill", part)
        try:
            yield
        finally:
            self.command("start", part)

    def node_names(self, api: Api) -> list[str]:
        """Of the nodes that are Ready."""
        return [node["metadata"]["name"] for node in api.list("nodes") if is_ready(node)]


def is_ready(thing: Any) -> bool:
    """A node or pod says so of itself."""
    conditions = thing.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _run(*command: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=240, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
