"""The start gate, judged on every revision of the store: the master first, then the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from lmtrainer.contract.exits import ExitType
from tests.cluster.harness.history import State, attempt_of, is_ready, replica_of, uid
from tests.cluster.harness.jobs import job
from tests.cluster.harness.judge import judge
from tests.cluster.harness.operators import Program
from tests.cluster.harness.scene import Scene
from tests.cluster.harness.scripts import Script, play

MUTANT = "tests.cluster.mutants.releases_on_running"


@pytest.fixture
def program() -> Iterator[Callable[[str], Program]]:
    """Operators as a user starts them."""
    started: list[Program] = []

    def start(module: str = "lmjob.kube.main") -> Program:
        started.append(Program(module))
        return started[-1]

    yield start
    for each in started:
        each.close()


def creations(history: list[State], role: str, attempt: int) -> list[State]:
    """The first state of each pod of a role in an attempt."""
    found: dict[str, State] = {}
    for state in history:
        pod = state.object
        if state.kind != "Pod" or pod is None or attempt_of(pod) != attempt:
            continue
        if replica_of(pod)[0] == role:
            found.setdefault(uid(pod), state)
    return list(found.values())


def first_ready(history: list[State], role: str, attempt: int) -> State:
    return next(
        state
        for state in history
        if state.kind == "Pod"
        and state.object is not None
        and (replica_of(state.object)[0], attempt_of(state.object)) == (role, attempt)
        and is_ready(state.object)
    )


def in_order(scene: Scene, attempt: int, workers: int = 3) -> float:
    """Seconds from Ready of the master to the last worker's creation; every worker came later."""
    history = scene.history()
    ready = first_ready(history, "master", attempt)
    created = creations(history, "worker", attempt)
    assert len(created) == workers
    assert min(state.revision for state in created) > ready.revision
    return max(state.at for state in created) - ready.at


@pytest.mark.parametrize("hold", [2.0, pytest.param(20.0, marks=pytest.mark.slow)])
def test_no_worker_is_created_while_the_master_is_not_ready(
    stage: Any, program: Any, hold: float
) -> None:
    scene = stage(program(), play({("master", 0, 1): Script(ready_after=hold)}))
    scene.operator.start()
    scene.submit(job())
    began = time.monotonic()
    scene.wait_for("Complete", seconds=hold + 30)
    assert time.monotonic() - began > hold
    assert in_order(scene, 1) < 2.0
    scene.judge(f"master not ready for {hold:g} s")


def test_the_gate_of_a_new_attempt_is_closed_again(stage: Any, nursery: Any) -> None:
    """That the master of the first attempt was Ready opens nothing for the second."""
    fails = Script(exit_type=ExitType.FAILED, runs=0.1)
    late = Script(ready_after=2.0)
    scene = stage(nursery, play({("worker", 1, 1): fails, ("master", 0, 2): late}))
    scene.operator.start()
    scene.submit(job())
    done = scene.wait_for("Complete")
    assert done["status"]["attempt"] == 2
    in_order(scene, 1)
    in_order(scene, 2)
    scene.judge("second attempt, master not ready for 2 s")


def test_running_is_told_only_when_all_pods_are_ready(stage: Any, nursery: Any) -> None:
    scene = stage(nursery, play({("worker", 2, 1): Script(ready_after=1.5)}))
    scene.operator.start()
    scene.submit(job())
    scene.wait_for("Complete")
    history = scene.history()
    last = next(
        state
        for state in history
        if state.kind == "Pod" and state.name.endswith("-worker-2") and state.object
        if is_ready(state.object)
    )
    told = next(state for state in history if training_is_told(state))
    assert told.revision > last.revision


def training_is_told(state: State) -> bool:
    status = (state.object or {}).get("status", {})
    return status.get("stage") == "train" and any(
        condition["reason"] == "Running" for condition in status.get("conditions", ())
    )


def test_an_operator_that_releases_on_running_is_caught(stage: Any, program: Any) -> None:
    with closing(program(MUTANT)) as mutant:
        scene = stage(mutant, play({("master", 0, 1): Script(ready_after=2.0)}))
        scene.operator.start()
        scene.submit(job())
        scene.wait(lambda: len(scene.pods()) >= 5, what="all pods of the mutant")
        broken = judge(scene.history(), seed="mutant")
    assert {violation.rule for violation in broken} == {"I2"}
