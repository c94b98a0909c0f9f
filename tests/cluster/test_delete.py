"""Deleting a job, whoever runs or does not: it goes at once, all of it, and its name is free."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lmjob.api.names import PLURAL
from lmtrainer.contract.exits import ExitType
from tests.cluster.harness.history import job_of
from tests.cluster.harness.jobs import job
from tests.cluster.harness.rules import ORPHAN_SECONDS
from tests.cluster.harness.scene import Scene
from tests.cluster.harness.scripts import Script, play

OWNED = ("pods", "services", "configmaps")
TRAINS_ON = Script(runs=None)


def left_of(scene: Scene, job_uid: str) -> list[str]:
    """Names of what the API server still has of a job."""
    return [
        item["metadata"]["name"]
        for plural in OWNED
        for item in scene.lab.api.list(plural, scene.namespace)
        if job_of(item) == job_uid
    ]


def running(stage: Any, nursery: Any, **script: Any) -> tuple[Scene, str]:
    """A scene whose job runs and will not end by itself, and the job's uid."""
    long = Script(runs=None, **script)
    group = [("master", 0, 1), *(("worker", index, 1) for index in range(3))]
    scene = stage(nursery, play({part: long for part in group}))
    scene.operator.start()
    made = scene.submit(job())["metadata"]["uid"]
    scene.wait(lambda: in_training(scene), what="training")
    return scene, made


def in_training(scene: Scene) -> bool:
    status = (scene.job() or {}).get("status", {})
    told = {condition["reason"] for condition in status.get("conditions", ())}
    return status.get("stage") == "train" and "Running" in told


def test_a_job_goes_while_no_operator_runs(stage: Any, nursery: Any) -> None:
    scene, made = running(stage, nursery)
    scene.operator.kill()
    assert left_of(scene, made)
    began = time.monotonic()
    scene.delete("job")
    scene.wait(
        lambda: scene.lab.api.get(PLURAL, scene.namespace, "job") is None,
        seconds=5,
        what="the job is gone",
    )
    scene.wait(
        lambda: not left_of(scene, made),
        seconds=ORPHAN_SECONDS - (time.monotonic() - began),
        what="nothing is left of the job",
    )
    scene.judge("deleted without an operator")


@pytest.mark.parametrize("phase", ["before its first pod", "in preparation", "after its end"])
def test_a_job_goes_in_every_phase(stage: Any, nursery: Any, phase: str) -> None:
    scripts = {("prepare", 0, 1): TRAINS_ON} if phase == "in preparation" else {}
    scene = stage(nursery, play(scripts))
    made = scene.submit(job())["metadata"]["uid"]
    if phase != "before its first pod":
        scene.operator.start()
        reached = {"in preparation": "Running", "after its end": "Finished"}[phase]
        scene.wait_for_reason(reached)
    scene.operator.kill()
    scene.delete("job")
    scene.wait(lambda: scene.job() is None, seconds=5, what="the job is gone")
    scene.wait(lambda: not left_of(scene, made), seconds=10, what="nothing is left")
    scene.judge(f"deleted {phase}")


@pytest.mark.parametrize("operator", ["runs", "is dead meanwhile"])
def test_a_namesake_runs_at_once_and_adopts_nothing(
    stage: Any, nursery: Any, operator: str
) -> None:
    """The pods of the old job still end while those of the new one begin."""
    scene, made = running(stage, nursery, ends_after=2.0)
    if operator != "runs":
        scene.operator.kill()
    scene.delete("job")
    scene.lab.kubelet.plays[scene.namespace] = play()
    again = scene.submit(job())["metadata"]["uid"]
    assert again != made
    if operator != "runs":
        scene.operator.start()
    done = scene.wait_for("Complete")
    assert done["metadata"]["uid"] == again
    assert done["status"]["attempt"] == 1
    scene.wait(lambda: not left_of(scene, made), seconds=10, what="nothing is left of the old job")
    scene.judge(f"deleted and applied again while the operator {operator}")


def test_nothing_ever_bears_a_finalizer(stage: Any, nursery: Any) -> None:
    fails = Script(exit_type=ExitType.FAILED, runs=0.1)
    scene = stage(nursery, play({("worker", 0, 1): fails}))
    scene.operator.start()
    scene.submit(job())
    scene.wait_for("Complete")
    history = scene.history()
    kinds = {state.kind for state in history if state.object and job_of(state.object)}
    assert {"Pod", "Service", "ConfigMap"} <= kinds
    for state in history:
        if state.kind in ("LMTrainingJob", "Pod", "Service", "ConfigMap") and state.object:
            assert not state.object["metadata"].get("finalizers"), state.key
            notes = state.object["metadata"].get("annotations") or {}
            assert not [name for name in notes if "kopf" in name], state.key
