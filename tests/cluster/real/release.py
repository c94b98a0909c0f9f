"""The operator as users install it: by Helm, from the chart of this repository, as two pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.harness.api import Api
from tests.cluster.real.machine import Machine, is_ready

CHART = Path(__file__).parents[3] / "charts/lmjob-operator"
NAMESPACE = "lmjob-system"
NAME = "lmjob"
ADOPT = ("--take-ownership", "--force-conflicts", "--server-side=true")
"""Other tests apply the custom resource definition by themselves."""


@dataclass(frozen=True)
class Release:
    """The release of the tests."""

    machine: Machine
    api: Api

    def install(self, **values: object) -> None:
        """Install or upgrade, with the chart's own values but for `values`, and wait until a leader
        and a stand-by are there."""
        settings = [f"--set={name}={value}" for name, value in values.items()]
        self.machine.helm(
            *("upgrade", "--install", NAME, str(CHART), "--namespace", NAMESPACE),
            *("--create-namespace", "--wait", "--timeout=120s", *ADOPT, *settings),
        )
        self.api.wait(self.leader, seconds=60, what="a leader of the operator")

    def uninstall(self) -> None:
        self.machine.helm("uninstall", NAME, "--namespace", NAMESPACE, "--ignore-not-found")
        self.api.wait(lambda: not self.pods(), seconds=60, what="no pod of the operator")

    def pods(self) -> list[Any]:
        found: list[Any] = self.api.list("pods", NAMESPACE)
        return found

    def leader(self) -> str | None:
        """The name of the pod that leads; None if nobody does, or only somebody who is gone."""
        leases = self.api.list("leases", NAMESPACE)
        holders = {lease["spec"].get("holderIdentity") for lease in leases}
        alive = [
            p for p in self.pods() if is_ready(p) and not p["metadata"].get("deletionTimestamp")
        ]
        return next(
            (p["metadata"]["name"] for p in alive if p["metadata"]["name"] in holders), None
        )

    def logs(self) -> str:
        names = [pod["metadata"]["name"] for pod in self.pods()]
        logs = (self.machine.kubectl("-n", NAMESPACE, "logs", n, check=False) for n in names)
        return "\n".join(
            f"--- {name}\n{log[-6000:]}" for name, log in zip(names, logs, strict=True)
        )

    def describe(self) -> str:
        return json.dumps([pod.get("status") for pod in self.pods()], indent=1)


@contextmanager
def installed(machine: Machine, api: Api) -> Iterator[Release]:
    """Installed for a session of tests, gone afterwards; the custom resource definition stays."""
    release = Release(machine, api)
    release.install()
    try:
        yield release
    finally:
        release.uninstall()
