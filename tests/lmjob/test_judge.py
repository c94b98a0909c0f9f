"""The judge of the cluster's tests: a clean history passes, and each rule is broken by one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lmjob.api import names
from tests.cluster.harness.history import State
from tests.cluster.harness.judge import judge

UID = "job-1"
PLAN = {
    "maxRestarts": 1,
    "stages": [
        {"replicas": [{"role": "prepare", "index": 0}]},
        {"replicas": [{"role": "master", "index": 0}, {"role": "worker", "index": 0}]},
    ],
}


class Story:
    """A history as it is told, one revision a call."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.now = 0.0

    def put(self, kind: str, name: str, body: dict[str, Any] | None, namespace: str = "a") -> None:
        number = len(self.states) + 1
        self.states.append(State(number, kind, namespace, name, copy.deepcopy(body), self.now))

    def job(self, uid: str = UID, outcome: str = "", **memory: Any) -> dict[str, Any]:
        kept = {"attempt": 0, "restarts": 0, **memory, **({"outcome": outcome} if outcome else {})}
        status: dict[str, Any] = {"memory": kept}
        if outcome:
            status["conditions"] = [{"type": "Complete", "status": "True"}]
        meta = {"name": "job", "namespace": "a", "uid": uid}
        body = {"kind": names.KIND, "metadata": meta, "status": status}
        self.put(names.KIND, "job", body)
        return body

    def plan(self) -> None:
        self.put("ConfigMap", "job-plan", owned("plan-1", data={"plan.json": json.dumps(PLAN)}))

    def pod(self, role: str, attempt: int = 1, **changes: Any) -> dict[str, Any]:
        body = pod(role, attempt, **changes)
        self.put("Pod", body["metadata"]["name"], body)
        return body


def owned(uid: str, owner: str = UID, **body: Any) -> dict[str, Any]:
    labels = {names.LABEL_UID: owner, names.LABEL_MANAGED_BY: names.MANAGER}
    owners = [{"kind": names.KIND, "uid": owner, "controller": True}]
    fields = [{"manager": names.MANAGER, "operation": "Update"}]
    meta = {"uid": uid, "labels": labels, "ownerReferences": owners, "managedFields": fields}
    return {"metadata": meta, **body}


def pod(
    role: str, attempt: int = 1, *, phase: str = "Pending", ready: bool = False, index: int = 0
) -> dict[str, Any]:
    name = f"job-{attempt}-{role}-{index}"
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]}
    body = owned(f"uid-of-{name}", status=status)
    marks = {names.LABEL_ATTEMPT: str(attempt), names.LABEL_ROLE: role}
    body["metadata"]["labels"] |= {**marks, names.LABEL_INDEX: str(index)}
    body["metadata"]["name"] = name
    return body


def good() -> Story:
    """Two attempts: the worker of the first one failed."""
    story = Story()
    story.job()
    story.plan()
    story.job(attempt=1)
    story.pod("prepare")
    story.pod("prepare", phase="Succeeded")
    story.pod("master")
    story.pod("master", phase="Running", ready=True)
    story.pod("worker")
    story.pod("worker", phase="Failed")
    story.pod("master", phase="Failed")
    story.job(attempt=2, restarts=1)
    story.pod("master", 2)
    story.pod("master", 2, phase="Running", ready=True)
    story.pod("worker", 2)
    story.pod("worker", 2, phase="Succeeded")
    story.pod("master", 2, phase="Succeeded")
    story.job(attempt=2, restarts=1, outcome="complete")
    return story


def rules(story: Story, now: float | None = None) -> set[str]:
    return {violation.rule for violation in judge(story.states, seed="made up", now=now)}


def without(story: Story, wanted: Callable[[State], bool]) -> Story:
    story.states = [state for state in story.states if not wanted(state)]
    return story


def where(name: str, nth: int = 0) -> Callable[[State], bool]:
    """The nth state of the object of this name."""
    seen = []

    def matches(state: State) -> bool:
        if state.name == name:
            seen.append(state)
        return state.name == name and len(seen) == nth + 1

    return matches


def changed_last(story: Story, name: str, change: Callable[[Any], None]) -> Story:
    state = [state for state in story.states if state.name == name][-1]
    change(state.object)
    return story


def test_a_clean_history_breaks_no_rule() -> None:
    assert rules(good()) == set()


def test_a_pod_beside_a_live_one_of_an_older_attempt_is_seen() -> None:
    assert rules(without(good(), where("job-1-worker-0", 1))) == {"I1"}


def test_an_old_pod_that_is_being_deleted_is_still_live() -> None:
    story = without(good(), where("job-1-master-0", 2))
    story.states.insert(8, deleting(story.states, "job-1-master-0"))
    assert rules(story) == {"I1"}


def test_a_pod_of_a_stage_while_the_stage_before_it_runs_is_seen() -> None:
    assert rules(without(good(), where("job-1-prepare-0", 1))) == {"I1"}


def test_a_pod_of_an_attempt_that_was_given_up_is_seen() -> None:
    story = without(good(), where("job-1-worker-0", 0))
    story = without(story, where("job-1-worker-0", 0))
    story.states.insert(-1, State(99, "Pod", "a", "job-1-worker-0", pod("worker", 1)))
    assert {"I1", "I4"} <= rules(story)


def test_a_worker_before_its_master_was_ready_is_seen() -> None:
    assert rules(without(good(), where("job-2-master-0", 1))) == {"I2"}


def test_a_worker_without_a_master_is_seen() -> None:
    story = without(good(), where("job-2-master-0", 0))
    assert rules(without(story, where("job-2-master-0", 0))) >= {"I2"}


def test_a_master_that_was_ready_once_but_is_another_pod_now_is_no_gate() -> None:
    story = good()
    place = next(i for i, s in enumerate(story.states) if s.name == "job-2-worker-0")
    other = pod("master", 2)
    other["metadata"]["uid"] = "another"
    gone = State(0, "Pod", "a", "job-2-master-0", None)
    story.states[place:place] = [gone, State(0, "Pod", "a", "job-2-master-0", other)]
    assert rules(story) >= {"I2"}


def test_a_worker_whose_master_is_being_deleted_is_seen() -> None:
    story = good()
    place = next(i for i, s in enumerate(story.states) if s.name == "job-2-worker-0")
    story.states.insert(place, deleting(story.states[:place], "job-2-master-0"))
    assert rules(story) == {"I2"}


def test_a_second_pod_of_a_replica_is_seen() -> None:
    story = good()
    double = pod("worker", 2)
    double["metadata"] |= {"uid": "double", "name": "double"}
    story.states.insert(-3, State(0, "Pod", "a", "double", double))
    assert rules(story) == {"I3"}


def test_a_replica_that_nobody_asked_for_is_seen() -> None:
    story = good()
    story.states.insert(-3, State(0, "Pod", "a", "more", pod("worker", 2, index=1)))
    assert rules(story) == {"I3"}


def test_a_pod_before_its_plan_is_frozen_is_seen() -> None:
    assert rules(without(good(), where("job-plan"))) == {"I3"}


def test_a_pod_before_its_attempt_is_claimed_is_seen() -> None:
    assert rules(without(good(), where("job", 2))) == {"I4"}


@pytest.mark.parametrize("memory", [{"attempt": 1, "restarts": 1}, {"attempt": 2, "restarts": 2}])
def test_counts_that_shrink_or_pass_the_budget_are_seen(memory: dict[str, int]) -> None:
    story = good()
    end = story.states.pop()
    story.job(**memory)
    story.states.append(end)
    assert rules(story) == {"I4"}


def test_a_pod_after_the_end_is_seen() -> None:
    story = good()
    late = pod("worker", 2)
    late["metadata"]["uid"] = "late"
    story.put("Pod", "job-2-worker-0", None)
    story.put("Pod", "job-2-worker-0", late)
    assert "I5" in rules(story)


def test_an_outcome_that_is_left_is_seen() -> None:
    story = good()
    story.job(attempt=2, restarts=1)
    assert rules(story) == {"I5"}


def test_a_condition_that_changes_after_the_end_is_seen() -> None:
    story = good()
    story.job(attempt=2, restarts=1, outcome="complete")
    story.states[-1].object["status"]["conditions"][0]["status"] = "False"  # type: ignore[index]
    assert rules(story) == {"I5"}


@pytest.mark.parametrize(("seconds", "broken"), [(9.0, set()), (11.0, {"I8"})])
def test_what_is_left_of_a_deleted_job_is_seen(seconds: float, broken: set[str]) -> None:
    story = good()
    story.put(names.KIND, "job", None)
    assert rules(story, now=seconds) == broken


def test_what_outlived_its_job_is_seen_although_it_is_gone_now() -> None:
    story = good()
    story.put(names.KIND, "job", None)
    story.now = 11.0
    for name in {state.name for state in story.states if state.kind in ("Pod", "ConfigMap")}:
        kind = "ConfigMap" if name == "job-plan" else "Pod"
        story.put(kind, name, None)
    assert rules(story) == {"I8"}


def test_an_adopted_pod_is_seen() -> None:
    story = good()
    story.put(names.KIND, "job", None)
    story.job(uid="job-2")
    taken = pod("worker", 2, phase="Succeeded")
    taken["metadata"]["ownerReferences"][0]["uid"] = "job-2"
    story.put("Pod", "job-2-worker-0", taken)
    assert "I8" in rules(story)


def test_an_impostor_that_gets_an_owner_is_seen() -> None:
    story = good()
    mine = pod("worker", 2)
    mine["metadata"] |= {"ownerReferences": [], "labels": {}, "managedFields": [], "uid": "x"}
    story.put("Pod", "impostor", mine)
    taken = copy.deepcopy(mine)
    taken["metadata"]["ownerReferences"] = owned("x")["metadata"]["ownerReferences"]
    story.put("Pod", "impostor", taken)
    assert rules(story) == {"I8"}


def test_a_finalizer_is_seen_and_that_of_a_users_deletion_is_none() -> None:
    def put(name: str) -> Callable[[Any], None]:
        return lambda body: body["metadata"].update(finalizers=[name])

    assert rules(changed_last(good(), "job", put("kopf.zalando.org/Marker"))) == {"I12"}
    assert rules(changed_last(good(), "job-2-worker-0", put("x/y"))) == {"I12"}
    assert rules(changed_last(good(), "job", put("foregroundDeletion"))) == set()


def test_writes_to_what_is_not_its_own_are_seen() -> None:
    mark = [{"manager": names.MANAGER, "operation": "Update"}]
    story = good()
    story.put("Secret", "s", {"metadata": {"uid": "s", "managedFields": mark}})
    assert rules(story) == {"I13"}

    def spec_written(body: Any) -> None:
        body["metadata"]["managedFields"] = mark

    def status_written(body: Any) -> None:
        body["metadata"]["managedFields"] = [{**mark[0], "subresource": "status"}]

    assert rules(changed_last(good(), "job", spec_written)) == {"I13"}
    assert rules(changed_last(good(), "job", status_written)) == set()


@pytest.mark.parametrize("missing", ["ownerReferences", "labels"])
def test_an_object_without_owner_or_labels_is_seen(missing: str) -> None:
    story = good()
    body = owned("service-1")
    del body["metadata"][missing]
    story.put("Service", "job", body)
    assert rules(story) == {"I13"}


def test_a_pod_in_another_namespace_than_its_job_is_seen() -> None:
    story = good()
    story.put("Service", "job", owned("service-1"), namespace="b")
    assert rules(story) == {"I13"}


def test_a_violation_names_seed_revision_object_and_both_states() -> None:
    story = without(good(), where("job-2-master-0", 1))
    (violation,) = judge(story.states, seed="kill before write 7")
    text = str(violation)
    for part in ("I2", "kill before write 7", "revision 14", "Pod/a/job-2-worker-0", "after: {"):
        assert part in text


def deleting(states: Iterable[State], name: str) -> State:
    """The last state of a pod, with its deletion asked for."""
    last = [state for state in states if state.name == name][-1]
    body = copy.deepcopy(dict(last.object or {}))
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return last._replace(object=body)
