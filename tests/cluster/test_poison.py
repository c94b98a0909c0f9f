"""Poison: what no schema would let in delays nobody else and brings nothing down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from lmjob.api.names import PLURAL, replica_name
from tests.cluster.conftest import CRD
from tests.cluster.harness import poison
from tests.cluster.harness.api import MERGE, path_of
from tests.cluster.harness.doors import Write
from tests.cluster.harness.history import attempt_of, owning_job, replica_of, uid
from tests.cluster.harness.jobs import job
from tests.cluster.harness.judge import judge
from tests.cluster.harness.scene import Lab, Scene
from tests.cluster.harness.scripts import Script, play

GOOD = 50
MOST_DELAY = 1.0
"""Seconds that poison may cost a good job."""
MOST_WRITES = 30
"""Of the operator, for each poisoned job, while the good ones run: some of them run, too."""


@pytest.fixture
def loose(lab: Lab) -> Iterator[None]:
    """The definition of jobs without a schema; the real one afterwards."""
    lab.api.apply_definition(poison.LOOSE)
    yield
    lab.api.apply_file(CRD)


def submit_poison(scene: Scene) -> None:
    for body in poison.jobs():
        status = body.pop("status", None)
        made = scene.submit({k: v for k, v in body.items() if v is not None})
        if status is not None:
            scene.lab.api.replace(PLURAL, scene.namespace, {**made, "status": status}, "status")


def delays(scene: Scene, good: dict[str, str]) -> list[float]:
    """Seconds from each good job's creation to that of its first pod, in order."""
    history = scene.history()
    made = {uid(s.object): s.at for s in reversed(history) if s.object and s.name in good}
    first: dict[str, float] = {}
    for state in history:
        if state.kind == "Pod" and state.object and owning_job(state.object) in made:
            first.setdefault(owning_job(state.object), state.at)
    return sorted(first[job_uid] - made[job_uid] for job_uid in good.values())


def all_done(scene: Scene, good: dict[str, str]) -> bool:
    return all(
        ((scene.job(name) or {}).get("status", {}).get("memory") or {}).get("outcome") == "complete"
        for name in good
    )


def submit_good(scenes: list[Scene]) -> list[dict[str, str]]:
    """Good jobs in all scenes at the same time, the next ones when each has its first pod; uid by
    name for each scene."""
    made: list[dict[str, str]] = [{} for _ in scenes]
    for number in range(GOOD):
        name = f"good-{number}"
        for scene, uids in zip(scenes, made, strict=True):
            uids[name] = uid(scene.submit(job(name, workers=0)))
        for scene, uids in zip(scenes, made, strict=True):
            pod = replica_name(name, uids[name], 1, "prepare", 0)
            scene.wait(lambda s=scene, p=pod: s.lab.recorder.look("pods", s.namespace, p), what=pod)
    return made


def test_thirty_poisoned_jobs_delay_no_good_one(stage: Any, nursery: Any, loose: None) -> None:
    """Two operators side by side, so that both have the same machine: one with poison."""
    scenes = [stage(nursery, play(), LMJOB_RESYNC_SECONDS="30") for _ in range(2)]
    submit_poison(scenes[1])
    for scene in scenes:
        scene.operator.start()
    time.sleep(1.0)
    good = submit_good(scenes)
    for scene, uids in zip(scenes, good, strict=True):
        scene.wait(lambda s=scene, u=uids: all_done(s, u), seconds=120, what="good jobs complete")
    clean, poisoned = (delays(*pair) for pair in zip(scenes, good, strict=True))
    print(f"first pods after {clean[-1]:.2f} s at most, {poisoned[-1]:.2f} s beside poison")
    assert poisoned[-1] < clean[-1] + MOST_DELAY
    assert scenes[1].operator.starts == 1
    assert scenes[1].operator.alive
    busiest = Counter(filter(None, map(poisoned_by, scenes[1].door.writes)))
    assert busiest.most_common(1)[0][1] <= MOST_WRITES, busiest
    sane = [state for state in scenes[1].history() if "poison-" not in state.name]
    assert judge(sane, seed="poisoned jobs") == []


def poisoned_by(write: Write) -> str:
    """Which poisoned job made the operator write this; empty for a good one."""
    named = (write.body or {}).get("metadata", {}).get("name") or write.path
    names = [body["metadata"]["name"] for body in poison.jobs()]
    return next((name for name in names if name in named), "")


def test_a_poisoned_job_says_what_is_wrong_with_it(stage: Any, nursery: Any, loose: None) -> None:
    scene = stage(nursery, play())
    submit_poison(scene)
    scene.operator.start()

    def silent() -> list[str]:
        return [name for name in poison.SPECS if not stalled(scene, f"poison-{name}")]

    deadline = time.monotonic() + 20
    while silent() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert silent() == []
    assert scene.operator.alive


def stalled(scene: Scene, name: str) -> bool:
    status = (scene.job(name) or {}).get("status") or {}
    conditions = status.get("conditions") or ()
    return any((c["type"], c["status"]) == ("Stalled", "True") for c in conditions)


def test_pods_that_pretend_to_be_of_a_job_change_nothing(stage: Any, nursery: Any) -> None:
    scene = stage(nursery, play())
    victim = scene.submit(job(workers=1))
    for body in poison.pods(scene.namespace, victim):
        scene.lab.api.create("pods", scene.namespace, body)
    scene.operator.start()
    done = scene.wait_for("Complete")
    assert (done["status"]["attempt"], done["status"]["restarts"]) == (1, 0)
    touched = [w.path for w in scene.door.writes if "impostor" in w.path]
    assert touched == []
    scene.judge("impostors")


def test_a_pod_that_has_taken_a_name_delays_only_its_job(stage: Any, nursery: Any) -> None:
    """It is neither adopted nor deleted; its job begins when somebody has removed it."""
    scene = stage(nursery, play())
    victim = scene.submit(job("victim", workers=0))
    other = scene.submit(job("other", workers=0))
    stranger = scene.lab.api.create("pods", scene.namespace, poison.twin(victim))
    scene.operator.start()
    scene.wait_for("Complete", "other")
    name = stranger["metadata"]["name"]
    there = scene.lab.api.get("pods", scene.namespace, name)
    assert uid(there) == uid(stranger)
    assert not there["metadata"].get("ownerReferences")
    assert not any(w.verb == "delete" and name in w.path for w in scene.door.writes)
    scene.lab.api.delete("pods", scene.namespace, name, gracePeriodSeconds=0)
    done = scene.wait_for("Complete", "victim", seconds=90)
    assert uid(done) == uid(victim)
    assert done["status"]["restarts"] == 0
    assert uid(other) != uid(victim)
    mine = {replica_of(p) for p in scene.pods() if owning_job(p) == uid(victim)}
    assert ("prepare", 0) in mine
    assert {attempt_of(p) for p in scene.pods() if owning_job(p)} == {1}
    scene.judge("a name that is taken")


def test_a_pod_that_has_lost_its_labels_stops_its_job_and_is_not_created_for_ever(
    stage: Any, nursery: Any
) -> None:
    late = Script(starts_after=None)
    scene = stage(nursery, play({("prepare", 0, 1): late}))
    scene.operator.start()
    made = scene.submit(job(workers=0))
    name = replica_name("job", uid(made), 1, "prepare", 0)
    scene.wait(lambda: scene.lab.api.get("pods", scene.namespace, name), what=name)
    bare = {"metadata": {"labels": {label: None for label in poison.LABELS}}}
    scene.lab.api.must("PATCH", path_of("pods", scene.namespace, name), bare, MERGE)
    before = len(scene.door.writes)
    time.sleep(5.0)
    assert len(scene.door.writes) - before <= 10
    scene.wait_for_reason("PodRefused")
    scene.lab.api.delete("pods", scene.namespace, name, gracePeriodSeconds=0)
    scene.lab.kubelet.plays[scene.namespace] = play()
    scene.wait_for("Complete", seconds=90)
