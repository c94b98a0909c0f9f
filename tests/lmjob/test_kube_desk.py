"""Which news make the operator look at a job: those that may change something, and no others."""

from __future__ import annotations

import asyncio
import copy
import time
from typing import Any

import pytest

from lmjob.api.spec import parse_job
from lmjob.core.memory import Memory, next_attempt
from lmjob.core.observed import Observed, Obstacle
from lmjob.core.plan import Facts, plan_job
from lmjob.core.report import report
from lmjob.kube import plans
from lmjob.kube.desk import Desk
from lmjob.kube.obstacles import Obstacles
from lmjob.kube.queue import KeyedQueue
from lmjob.kube.reports import changed
from lmjob.kube.view import View
from lmjob.render import manifests
from lmtrainer.config import MistakesError, document
from tests.lmjob.bodies import changed as body_with

IMAGE = "example.org/lmtrainer:test"
KEY = "team/good"


def job_body(version: int = 1, **changes: Any) -> dict[str, Any]:
    body = body_with({f"spec.{name}": value for name, value in changes.items()})
    meta = {"namespace": "team", "uid": "u-1", "generation": 1, "resourceVersion": str(version)}
    body["metadata"] = {**body["metadata"], **meta}
    del body["spec"]["image"]
    return body


@pytest.fixture
def desk():
    views: dict[str, View] = {}
    queue = KeyedQueue()
    found = Desk(queue, views, IMAGE)
    found.queue, found.views = queue, views
    return found


def begun(desk: Desk) -> Memory:
    """The job's first attempt is claimed, and everybody knows."""
    desk.job_event("ADDED", job_body())
    view = desk.views[KEY]
    plan = plans.planned(view, IMAGE)
    memory = next_attempt(Memory(stage="train"), time.time())
    status = report(plan, memory, Observed(), time.time())
    body = job_body(2)
    body["status"] = view.document(memory, document(memory), status)["status"]
    view.take_body(body)
    drain(desk)
    return memory


def drain(desk: Desk) -> list[str]:
    taken = []
    while (key := desk.queue.take()) is not None:
        taken.append(key)
        desk.queue.done(key)
    return taken


def master(desk: Desk, ready: str, **status: Any) -> dict[str, Any]:
    plan = desk.views[KEY].plan
    pod = copy.deepcopy(
        manifests.pod(plan, "train", plan.stage("train").replicas[0], 1, master_ip=None)
    )
    pod["metadata"] |= {"uid": "p-1", "creationTimestamp": "2026-11-21T12:00:00Z"}
    pod["status"] = {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "conditions": [{"type": "Ready", "status": ready}],
        **status,
    }
    return pod


def test_a_new_job_is_looked_at_before_everything_else(desk):
    desk.queue.add("team/other")
    desk.job_event("ADDED", job_body())
    assert desk.queue.take() == KEY


def test_news_that_are_old_are_none(desk):
    begun(desk)
    desk.job_event("MODIFIED", job_body(1))
    assert desk.views[KEY].body["metadata"]["resourceVersion"] == "2"
    assert drain(desk) == []


def test_a_pod_that_changes_nothing_costs_no_look(desk):
    begun(desk)
    desk.pod_event("ADDED", master(desk, "False"))
    assert drain(desk) == []
    desk.pod_event("MODIFIED", master(desk, "False", startTime="2026-11-21T12:00:01Z"))
    assert drain(desk) == []


def test_a_ready_master_is_looked_at(desk):
    begun(desk)
    desk.pod_event("ADDED", master(desk, "False"))
    desk.pod_event("MODIFIED", master(desk, "True"))
    assert drain(desk) == [KEY]


def test_a_pod_that_is_gone_is_looked_at(desk):
    begun(desk)
    desk.pod_event("ADDED", master(desk, "False"))
    desk.pod_event("DELETED", master(desk, "False"))
    assert drain(desk) == [KEY]


def test_a_pod_of_a_job_of_the_same_name_that_is_gone_says_nothing(desk):
    begun(desk)
    foreign = master(desk, "True")
    foreign["metadata"]["labels"]["lmtraining.dev/job-uid"] = "u-0"
    foreign["metadata"]["ownerReferences"][0]["uid"] = "u-0"
    desk.pod_event("ADDED", foreign)
    assert drain(desk) == []
    assert desk.views[KEY].sightings == {}


def test_a_job_that_was_made_anew_under_its_name_starts_from_nothing(desk):
    begun(desk)
    desk.pod_event("ADDED", master(desk, "True"))
    again = job_body(9)
    again["metadata"]["uid"] = "u-2"
    desk.job_event("ADDED", again)
    view = desk.views[KEY]
    assert (view.uid, view.sightings, view.plan) == ("u-2", {}, None)
    desk.job_event("DELETED", job_body(8))
    assert KEY in desk.views, "the end of the older one is not the end of this one"


def test_nonsense_in_a_status_is_looked_at_and_does_no_harm(desk):
    body = job_body()
    body["status"] = {"attempt": 1, "memory": {"attempt": "many"}, "planHash": "x"}
    desk.job_event("ADDED", body)
    assert drain(desk) == [KEY]
    with pytest.raises(MistakesError):
        desk.views[KEY].recall()


def test_a_report_that_says_the_same_is_not_written(desk):
    memory = begun(desk)
    view = desk.views[KEY]
    status = report(view.plan, memory, view.observed(), time.time(), view.recall().status)
    assert changed(view, status) is None
    assert changed(view, {**status, "progress": {"step": 7}}) == "progress"
    assert changed(view, {**status, "stage": "evaluate"}) == "state"
    view.body["metadata"]["generation"] = 2
    assert changed(view, status) == "state", "the user sees that the change was noticed"


def test_the_frozen_plan_outlives_an_upgrade_that_plans_otherwise(desk):
    begun(desk)
    body = desk.views[KEY].body
    assert plans.planned(View(KEY, body), IMAGE) is not None
    assert plans.planned(View(KEY, body), "example.org/lmtrainer:newer") is None


def test_a_specification_may_change_until_the_job_begins(desk):
    desk.job_event("ADDED", job_body())
    view = desk.views[KEY]
    before = plans.planned(view, IMAGE)
    body = job_body(2, seed=7)
    body["metadata"]["generation"] = 2
    view.take_body(body)
    assert plans.planned(view, IMAGE).run.seed == 7 != before.run.seed


class Claims:
    """A namespace's volume claims, by name."""

    def __init__(self, **modes: str) -> None:
        self.modes = modes
        self.asked = 0

    async def get(self, kind, namespace, name):
        self.asked += 1
        if name not in self.modes:
            return None
        return {"spec": {"accessModes": [self.modes[name]]}}


def obstacle_of(claims: Claims, body: dict[str, Any], *others: View) -> Obstacle | None:
    plan = plan_job(parse_job(body), uid="u-1", facts=Facts(default_image=IMAGE))
    view = View(KEY, body)
    return asyncio.run(Obstacles(claims).find(view, plan, [view, *others]))


def test_a_missing_claim_and_one_that_nodes_cannot_share_are_told_with_the_way_out():
    body = job_body()
    both = {"corpus": "ReadWriteMany", "results": "ReadWriteMany"}
    assert obstacle_of(Claims(**both), body) is None
    missing = obstacle_of(Claims(corpus="ReadWriteMany"), body)
    assert missing.reason == "VolumeNotFound"
    assert "'results'" in missing.message and "team" in missing.message
    alone = obstacle_of(Claims(**both | {"results": "ReadWriteOnce"}), body)
    assert alone.reason == "VolumeNotShared"
    assert "ReadWriteMany" in alone.message and "workers.replicas: 0" in alone.message
    single = job_body(workers={"replicas": 0})
    assert obstacle_of(Claims(**both | {"corpus": "ReadOnlyMany"}), body) is None
    written = obstacle_of(Claims(**both | {"results": "ReadOnlyMany"}), body)
    assert written.reason == "VolumeNotShared", "the master writes there"
    many = job_body(workers={"replicas": 0}, prepare={"replicas": 2})
    helped = obstacle_of(Claims(**both | {"results": "ReadWriteOnce"}), many)
    assert helped.reason == "VolumeNotShared"
    assert "2 nodes" in helped.message and "set prepare.replicas: 1" in helped.message
    assert "workers" not in helped.message
    assert obstacle_of(Claims(**both | {"results": "ReadWriteOnce"}), single) is None


def test_an_output_that_another_job_writes_is_told_with_its_name():
    both = Claims(corpus="ReadWriteMany", results="ReadWriteMany")
    other = job_body()
    other["metadata"] |= {"name": "first", "uid": "u-9"}
    assert obstacle_of(both, job_body(), View("team/first", other)) is None
    other["status"] = {"attempt": 3, "memory": {"attempt": 3}}
    found = obstacle_of(both, job_body(), View("team/first", other))
    assert found.reason == "OutputInUse"
    assert "first (attempt 3)" in found.message
    other["status"]["memory"]["outcome"] = "complete"
    assert obstacle_of(both, job_body(), View("team/first", other)) is None


def test_of_two_that_began_with_one_output_the_first_one_goes_on():
    both = Claims(corpus="ReadWriteMany", results="ReadWriteMany")
    first, second = job_body(), job_body()
    first["status"] = {"attempt": 1, "memory": {"attempt": 1, "startedAt": 100.0}}
    second["metadata"] |= {"name": "second", "uid": "u-9"}
    second["status"] = {"attempt": 1, "memory": {"attempt": 1, "startedAt": 200.0}}
    assert obstacle_of(both, first, View("team/second", second)) is None
    assert obstacle_of(both, second, View("team/first", first)).reason == "OutputInUse"


def test_a_job_that_was_refused_is_not_read_again_until_it_changes(desk):
    desk.job_event("ADDED", job_body(3, model={"type": "bert-bse"}))
    assert drain(desk) == [KEY]
    desk.views[KEY].refused_version = 3
    desk._consider(KEY, desk.views[KEY], urgent=False)
    assert drain(desk) == []
    desk.job_event("MODIFIED", job_body(4))
    assert drain(desk) == [KEY]
