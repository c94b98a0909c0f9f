"""What the operator makes of a pod: states, causes and last words; never an impostor's."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lmjob.core.plan.shapes import ReplicaKey
from lmjob.kube.observe import sight
from lmjob.render import manifests
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Termination, dump

CREATED = "2026-11-21T12:00:00Z"
UNIX = 1795262400.0


@pytest.fixture
def pod_with(plan_of):
    plan = plan_of()
    body = manifests.pod(plan, "train", plan.stage("train").replicas[1], 2, master_ip="10.0.0.9")

    def make(status: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
        pod = copy.deepcopy(body)
        pod["metadata"] |= {"uid": "p-1", "creationTimestamp": CREATED, **meta}
        pod["status"] = {"phase": "Pending", **(status or {})}
        return pod

    return make


def container(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "sidecar", "state": {}}, {"name": "trainer", "state": state}]


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    found = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**found, "lastTransitionTime": "2026-11-21T12:01:00Z"}


RUNNING = {"phase": "Running", "podIP": "10.0.0.7"}
READY = {**RUNNING, "conditions": [condition("Ready", "True")]}


def test_a_pod_is_the_replica_that_its_labels_name(pod_with, plan_of):
    found = sight(pod_with(READY))
    assert (found.job_uid, found.ip) == (plan_of().job.uid, "10.0.0.7")
    replica = found.replica
    assert (replica.key, replica.attempt, replica.uid) == (ReplicaKey("worker", 0), 2, "p-1")
    assert replica.created_at == UNIX


@pytest.mark.parametrize(
    ("status", "meta", "state"),
    [
        ({}, {}, "pending"),
        (RUNNING, {}, "starting"),
        (READY, {}, "ready"),
        (READY, {"deletionTimestamp": CREATED}, "terminating"),
        ({"phase": "Unknown"}, {}, "pending"),
        ({"phase": "Succeeded"}, {"deletionTimestamp": CREATED}, "succeeded"),
        ({"phase": "Failed"}, {"deletionTimestamp": CREATED}, "failed"),
    ],
)
def test_only_an_end_that_was_seen_is_an_end(pod_with, status, meta, state):
    assert sight(pod_with(status, **meta)).replica.state == state


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: meta.pop("ownerReferences"),
        lambda meta: meta["ownerReferences"][0].update(uid="another"),
        lambda meta: meta["ownerReferences"][0].update(controller=False),
        lambda meta: meta["labels"].pop("lmtraining.dev/job-uid"),
        lambda meta: meta["labels"].update({"lmtraining.dev/role": "king"}),
        lambda meta: meta["labels"].update({"lmtraining.dev/attempt": "0"}),
        lambda meta: meta["labels"].update({"lmtraining.dev/attempt": "²"}),
        lambda meta: meta["labels"].update({"lmtraining.dev/index": "-1"}),
        lambda meta: meta.update(labels=None),
    ],
)
def test_a_pod_that_only_looks_like_one_of_the_job_decides_nothing(pod_with, change):
    pod = pod_with(READY)
    change(pod["metadata"])
    assert sight(pod) is None


@pytest.mark.parametrize(
    ("status", "stuck", "words"),
    [
        (
            {"conditions": [condition("PodScheduled", "False", "Unschedulable", "0/2 nodes")]},
            "Unschedulable",
            "0/2 nodes",
        ),
        (
            {
                "conditions": [
                    condition(
                        "PodScheduled",
                        "False",
                        "Unschedulable",
                        'persistentvolumeclaim "corpus" not found',
                    )
                ]
            },
            "Volume",
            'persistentvolumeclaim "corpus" not found',
        ),
        (
            {
                "containerStatuses": container(
                    {"waiting": {"reason": "ImagePullBackOff", "message": "no such\nimage"}}
                )
            },
            "ImagePull",
            "image example.org/lmtrainer:test: ImagePullBackOff: no such image",
        ),
        (
            {"containerStatuses": container({"waiting": {"reason": "CreateContainerError"}})},
            "PodConfiguration",
            "CreateContainerError: ",
        ),
        ({"containerStatuses": container({"waiting": {"reason": "ContainerCreating"}})}, None, ""),
        ({"conditions": [condition("PodScheduled", "False", "SchedulingGated", "")]}, None, ""),
    ],
)
def test_why_a_pod_does_not_start_is_told_in_one_line(pod_with, status, stuck, words):
    replica = sight(pod_with(status)).replica
    assert (replica.stuck, replica.reason.rstrip()) == (stuck, words.rstrip())


def test_the_last_word_of_a_launcher_and_its_exit_code_are_read(pod_with):
    word = Termination(job_uid="u-1", attempt=2, exit_type=ExitType.DISK_FULL.name)
    ended = {"exitCode": 74, "reason": "Error", "message": dump(word)}
    status = {"phase": "Failed", "containerStatuses": container({"terminated": ended})}
    replica = sight(pod_with(status)).replica
    assert (replica.exit_code, replica.termination) == (74, word)
    assert replica.reason == "Error, exit code 74"


@pytest.mark.parametrize("message", ["", "killed", "{}" * 9000, "[1", '{"version": "x"}', None, 7])
def test_a_message_that_is_none_of_ours_is_no_last_word(pod_with, message):
    ended = {"exitCode": 137, "reason": "OOMKilled", "message": message}
    status = {"phase": "Failed", "containerStatuses": container({"terminated": ended})}
    replica = sight(pod_with(status)).replica
    assert replica.termination is None
    assert (replica.exit_code, replica.reason) == (137, "OOMKilled, exit code 137")


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Failed", "reason": "Evicted", "message": "node low on memory"},
        {**RUNNING, "conditions": [condition("DisruptionTarget", "True", "PreemptionByScheduler")]},
    ],
)
def test_what_the_platform_does_is_not_charged(pod_with, status):
    assert sight(pod_with(status, deletionTimestamp=CREATED)).replica.disrupted
    assert not sight(pod_with(READY, deletionTimestamp=CREATED)).replica.disrupted


@pytest.mark.parametrize(
    ("reason", "contained", "cut_off"),
    [
        ("DeletionByTaintManager", "True", UNIX + 60),
        ("DeletionByTaintManager", "False", None),
        ("EvictionByEvictionAPI", "True", None),
    ],
)
def test_a_node_is_given_up_only_when_its_kubelet_is_silent(pod_with, reason, contained, cut_off):
    conditions = [
        condition("Ready", "False"),
        condition("ContainersReady", contained),
        condition("DisruptionTarget", "True", reason),
    ]
    pod = pod_with({**RUNNING, "conditions": conditions}, deletionTimestamp="2026-11-21T12:02:00Z")
    replica = sight(pod).replica
    assert (replica.ending_by, replica.cut_off_since) == (UNIX + 120, cut_off)
