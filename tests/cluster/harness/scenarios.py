"""Scenarios: what a user and the pods do, from the first job to an end that can be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lmtrainer.contract.exits import ExitType
from tests.cluster.harness.jobs import job
from tests.cluster.harness.scene import Scene
from tests.cluster.harness.scripts import Part, Play, Script, play

PATIENCE = 60.0
"""Seconds for each step of a scenario, restarts of the operator included."""

FAILS = Script(exit_type=ExitType.FAILED, runs=0.1)
LINGERS = Script(ends_after=2.5)
"""Longer than the first pause before a new attempt."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """`act` submits the jobs and returns when nothing will change any more."""

    name: str
    do: Play
    act: Callable[[Scene], None]


def _to(kind: str, **body: Any) -> Callable[[Scene], None]:
    """Submit one job and wait until a condition of it holds."""

    def act(scene: Scene) -> None:
        scene.submit(job(**body))
        scene.wait_for(kind, seconds=PATIENCE)

    return act


def _suspend_and_resume(scene: Scene) -> None:
    scene.submit(job())
    scene.wait_for_reason("WorkersReleased", seconds=PATIENCE)
    scene.change("job", {"suspend": True})
    scene.wait_for("Suspended", seconds=PATIENCE)
    scene.change("job", {"suspend": False})
    scene.wait_for("Complete", seconds=PATIENCE)


def _delete_and_apply_again(scene: Scene) -> None:
    scene.submit(job())
    scene.wait_for_reason("WorkersReleased", seconds=PATIENCE)
    scene.delete("job")
    scene.lab.kubelet.plays[scene.namespace] = play()
    scene.submit(job())
    scene.wait_for("Complete", seconds=PATIENCE)


def _first(script: Script, *roles: str) -> dict[Part, Script]:
    return {(role, index, 1): script for role in roles for index in range(3)}


SCENARIOS = (
    Scenario(name="one master, three workers", do=play(), act=_to("Complete")),
    Scenario(
        name="a worker fails",
        do=play({("worker", 1, 1): FAILS, ("worker", 2, 1): LINGERS}),
        act=_to("Complete"),
    ),
    Scenario(
        name="the master is killed",
        do=play({("master", 0, 1): Script(exit_type=ExitType.KILLED, runs=0.1)}),
        act=_to("Complete"),
    ),
    Scenario(
        name="the budget is spent",
        do=play({("master", 0, 1): FAILS, ("master", 0, 2): FAILS}),
        act=_to("Failed", workers=1, failurePolicy={"maxRestarts": 1}),
    ),
    Scenario(
        name="a user's mistake",
        do=play({("prepare", 0, 1): Script(exit_type=ExitType.USER_ERROR)}),
        act=_to("Failed"),
    ),
    Scenario(
        name="suspended and resumed",
        do=play(_first(Script(runs=None), "master", "worker")),
        act=_suspend_and_resume,
    ),
    Scenario(
        name="deleted and applied again",
        do=play(_first(Script(runs=None), "master", "worker")),
        act=_delete_and_apply_again,
    ),
)
