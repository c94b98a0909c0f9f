"""A scene: a namespace with an operator of its own behind a door of its own, and scripted pods.

Many scenes share one laboratory: an API server, its recorder, and one loop with the kubelet.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmjob.api.names import GROUP, PLURAL
from tests.cluster.harness.access import plain_kubeconfig
from tests.cluster.harness.api import Api
from tests.cluster.harness.clusters import Cluster
from tests.cluster.harness.doors import Door
from tests.cluster.harness.history import State, condition
from tests.cluster.harness.jobs import claim, restricted
from tests.cluster.harness.judge import judge
from tests.cluster.harness.kubelet import Kubelet
from tests.cluster.harness.loop import Loop
from tests.cluster.harness.operators import Operator, Starter, settings
from tests.cluster.harness.recorder import Recorder
from tests.cluster.harness.scripts import Play, play

HOME = f"{GROUP}/{PLURAL}"
"""Place of jobs in the store."""

MARK = "mark-"
"""Begins the name of config maps that only mark a revision."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Lab:
    """What all scenes share."""

    cluster: Cluster
    api: Api
    recorder: Recorder
    loop: Loop
    kubelet: Kubelet


class Scene:
    """One namespace. Its operator is not started yet."""

    def __init__(self, lab: Lab, namespace: str, door: Door, operator: Operator) -> None:
        self.lab = lab
        self.namespace = namespace
        self.door = door
        self.operator = operator

    def submit(self, body: Any) -> Any:
        """Create a job."""
        return self.lab.api.create(PLURAL, self.namespace, body)

    def change(self, name: str, spec: Any) -> Any:
        """Change fields of a job's specification."""
        return self.lab.api.patch(PLURAL, self.namespace, name, {"spec": spec})

    def delete(self, name: str) -> None:
        self.lab.api.delete(PLURAL, self.namespace, name)

    def job(self, name: str = "job") -> Any:
        """As it is in the store now; None if it is not there."""
        return self.lab.recorder.look(HOME, self.namespace, name)

    def wait(self, ask: Callable[[], Any], *, seconds: float = 30.0, what: str = "") -> Any:
        """The first true answer; AssertionError with the operator's last words when too late."""
        deadline = time.monotonic() + seconds
        while not (answer := ask()):
            assert not self.operator.crashed, f"the operator crashed\n{self.story()}"
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}\n{self.story()}")
            time.sleep(0.05)
        return answer

    def wait_for(self, kind: str, name: str = "job", *, seconds: float = 30.0) -> Any:
        """A job whose condition of this type is True."""

        def holds() -> Any:
            found = self.job(name)
            return found if found and condition(found, kind) == "True" else None

        return self.wait(holds, seconds=seconds, what=f"{kind} of {name}")

    def wait_for_reason(self, reason: str, name: str = "job", *, seconds: float = 30.0) -> Any:
        """A job whose condition Ready tells this reason."""

        def tells() -> Any:
            found = self.job(name)
            conditions = (found or {}).get("status", {}).get("conditions") or ()
            return found if any(c["reason"] == reason for c in conditions) else None

        return self.wait(tells, seconds=seconds, what=f"{reason} of {name}")

    def pods(self) -> list[Any]:
        """Of the API server."""
        found: list[Any] = self.lab.api.list("pods", self.namespace)
        return found

    def history(self) -> list[State]:
        """Up to this moment."""
        mark = self.lab.api.create(
            "configmaps", self.namespace, {"metadata": {"generateName": MARK}}
        )
        self.lab.recorder.catch_up(int(mark["metadata"]["resourceVersion"]))
        return self.lab.recorder.history(self.namespace)

    def settled(self, quiet: float = 1.5, seconds: float = 30.0) -> list[State]:
        """The history once nothing was written for a while."""
        deadline = time.monotonic() + seconds
        while True:
            history = self.history()
            last = max(state.at for state in history if not _is_noise(state))
            if time.monotonic() - last > quiet:
                return history
            assert time.monotonic() < deadline, f"it does not come to rest\n{self.story()}"
            time.sleep(0.3)

    def judge(self, seed: str = "") -> None:
        """AssertionError if the history breaks a rule."""
        broken = judge(self.history(), seed=seed, now=time.monotonic())
        assert not broken, "\n".join(map(str, broken)) + f"\n{self.story()}"

    def story(self) -> str:
        """For people, after a failure."""
        writes = [f"{w.number:4} {w.verb} {w.path}" for w in self.door.writes]
        return "\n".join(["writes:", *writes[-40:], "operator:", self.operator.said()])


def _is_noise(state: State) -> bool:
    return state.kind == "Lease" or state.name.startswith(MARK)


@contextmanager
def scene(
    lab: Lab, starter: Starter, folder: Path, do: Play | None = None, **environment: str
) -> Iterator[Scene]:
    """A fresh namespace with its claim, a door, and an operator that is killed at the end;
    `environment` changes its settings."""
    namespace = f"scene-{next(_numbers)}"
    lab.api.create("namespaces", "", restricted(namespace))
    volume, claimed = claim(namespace)
    lab.api.create("persistentvolumes", "", volume)
    lab.api.create("persistentvolumeclaims", namespace, claimed)
    lab.kubelet.plays[namespace] = do or play()
    door = lab.loop.call(_opened(lab))
    kubeconfig = plain_kubeconfig(folder / f"{namespace}.kubeconfig", door.address)
    told = {**settings(namespace, kubeconfig), **environment}
    operator = Operator(starter, told, folder / f"{namespace}.log")
    try:
        yield Scene(lab, namespace, door, operator)
    finally:
        operator.kill()
        lab.loop.call(door.shut())
        lab.recorder.forget(namespace)


async def _opened(lab: Lab) -> Door:
    door = Door(lab.cluster.access)
    await door.open()
    return door
