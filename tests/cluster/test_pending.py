"""A job that cannot start says why within ten seconds, starts no worker, and goes on by itself once
the cause is gone; or fails in time, if its user set a bound."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path

import pytest
import yaml

from tests.cluster.real.processes import frozen_master
from tests.cluster.real.run import Run

EXAMPLE = yaml.safe_load(
    (Path(__file__).parents[2] / "manifests/examples/two-workers.yaml").read_text()
)
TOLD_SECONDS = 10
"""From `kubectl apply` to the cause in the Ready condition."""
NO_IMAGE = "localhost:1/lmtrainer:none"
"""Of a registry that answers at once that it is not there."""
BOUND = 8
"""Of startup.timeoutSeconds."""
GRACE = 10
SLACK = 15
"""For a busy machine, between what is bound to happen and what is seen of it."""
pytestmark = [pytest.mark.slow]


@pytest.fixture
def run(machine, site, seen):
    """The example, to be spoiled by the test."""
    document = copy.deepcopy(EXAMPLE)
    document["spec"]["terminationGracePeriodSeconds"] = GRACE
    return Run(machine, site, document)


def wrong_image(run):
    run.document["spec"]["image"] = NO_IMAGE
    return "ImagePull", f"prepare-0: image {NO_IMAGE}"


def too_large(run):
    run.document["spec"]["pods"]["resources"]["requests"]["cpu"] = "1000"
    return "Unschedulable", "Insufficient cpu"


def no_claim(run):
    run.document["spec"]["output"]["to"] = "pvc://models/two-workers"
    return "VolumeNotFound", "'models' is not found"


def no_secret(run):
    source = {"secretKeyRef": {"name": "s3", "key": "secret-key"}}
    run.document["spec"]["pods"]["env"] = [{"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": source}]
    return "PodConfiguration", 'prepare-0: CreateContainerConfigError: secret "s3" not found'


def claim_without_volume(run):
    no_claim(run)
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    body = {"metadata": {"name": "models"}, "spec": spec}
    run.site.api.create("persistentvolumeclaims", run.site.namespace, body)
    return "Volume", "unbound"


def claim_of_one_node(run):
    no_claim(run)
    run.site.add_claim("models", run.site.results.parent / "models", "ReadWriteOnce")
    return "VolumeNotShared", "ReadWriteOnce"


def no_quota(run):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    run.site.api.create("resourcequotas", run.site.namespace, quota)
    return "QuotaExceeded", "exceeded quota: none"


def refused(run):
    limits = [{"type": "Container", "max": {"memory": "512Mi"}}]
    body = {"metadata": {"name": "small"}, "spec": {"limits": limits}}
    run.site.api.create("limitranges", run.site.namespace, body)
    return "PodRefused", "maximum memory usage"


CAUSES = (
    wrong_image,
    too_large,
    no_claim,
    no_secret,
    claim_without_volume,
    claim_of_one_node,
    no_quota,
    refused,
)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_the_cause_is_told_within_ten_seconds_and_no_worker_is_started(cause, run, seen):
    reason, words = cause(run)
    run.apply()
    run.wait(lambda: run.condition("Ready").get("reason") == reason, TOLD_SECONDS, reason)
    ready = run.condition("Ready")
    assert ready["status"] == "False"
    assert words in ready["message"]
    assert "\n" not in ready["message"]
    assert not seen.workers


@pytest.mark.parametrize("cause", [wrong_image, too_large, no_claim, no_quota])
def test_a_start_that_takes_longer_than_its_bound_fails(cause, run, seen):
    cause(run)
    assert_fails_in_time(run, seen)


def test_what_is_missing_may_come_later(run, seen):
    no_claim(run)
    run.apply()
    run.wait(
        lambda: run.condition("Ready").get("reason") == "VolumeNotFound", TOLD_SECONDS, "cause"
    )
    run.site.add_claim("models", run.site.results.parent / "models")
    run.wait(lambda: master_runs(run), 60, "master")


def test_a_secret_may_come_later_and_only_its_name_is_told(run, seen):
    no_secret(run)
    run.apply()
    run.wait(
        lambda: run.condition("Ready").get("reason") == "PodConfiguration", TOLD_SECONDS, "cause"
    )
    body = {"metadata": {"name": "s3"}, "stringData": {"secret-key": "very-secret"}}
    run.site.api.create("secrets", run.site.namespace, body)
    run.wait(lambda: master_runs(run), 60, "master")
    master = run.pod("master")["metadata"]["name"]
    assert run.kubectl("exec", master, "--", "printenv", "AWS_SECRET_ACCESS_KEY") == "very-secret\n"
    kinds = ("configmaps", "pods", "events", "lmtrainingjobs", "services")
    told = json.dumps([run.site.api.list(kind, run.site.namespace) for kind in kinds])
    told += run.kubectl("logs", master)
    assert "AWS_SECRET_ACCESS_KEY" in told
    assert "very-secret" not in told


def test_a_quota_may_be_raised_later(run, seen):
    no_quota(run)
    run.apply()
    run.wait(lambda: run.condition("Ready").get("reason") == "QuotaExceeded", TOLD_SECONDS, "cause")
    enough = {"spec": {"hard": {"pods": "10"}}}
    run.site.api.patch("resourcequotas", run.site.namespace, "none", enough)
    run.wait(lambda: master_runs(run), 60, "master")


def test_workers_wait_for_a_master_that_hangs_in_its_start(run, seen):
    run.apply()
    uid = run.body()["metadata"]["uid"]
    with frozen_master(uid, nodes=3, seconds=90):
        waits = "master-0 has not said yet that it is ready"
        run.wait(lambda: run.condition("Ready").get("message") == waits, TOLD_SECONDS, "cause")
        assert run.condition("Ready")["reason"] == "MasterStarting"
        time.sleep(TOLD_SECONDS)
        assert not seen.workers
    run.wait(lambda: seen.workers, 60, "worker")


def test_a_master_that_hangs_in_its_start_fails_the_job_in_time(run, seen):
    run.document["spec"]["startup"] = {"timeoutSeconds": 2 * BOUND}
    run.document["spec"]["failurePolicy"] = {"maxRestarts": 0}
    run.apply()
    with frozen_master(run.body()["metadata"]["uid"], nodes=3, seconds=90):
        run.wait(lambda: run.holds("Failed"), 2 * BOUND + GRACE + SLACK, "failure")
    assert_timed_out(run, seen)


def assert_fails_in_time(run, seen):
    run.document["spec"]["startup"] = {"timeoutSeconds": BOUND}
    run.document["spec"]["failurePolicy"] = {"maxRestarts": 0}
    run.apply()
    took = run.wait(lambda: run.holds("Failed"), BOUND + GRACE + SLACK, "failure")
    assert took > BOUND - 2
    assert_timed_out(run, seen)


def assert_timed_out(run, seen):
    assert run.status()["lastFault"]["reason"] == "StartupTimeout"
    assert not seen.workers


def master_runs(run):
    roles = {p["metadata"]["labels"]["lmtraining.dev/role"]: p["status"] for p in run.pods()}
    return roles.get("master", {}).get("phase") == "Running"
