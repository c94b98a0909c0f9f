"""A real API server, in a namespace that enforces the restricted level, takes every object as it is
rendered: no field unknown to it, none changed, none refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lmjob.api.jobfile import read_job_file
from lmjob.api.spec import parse_job
from lmjob.cli.render import MASTER_IP, UID, objects
from lmjob.core.plan import Facts, JobPlan, plan_job
from tests.cluster.harness.api import Api, ApiError, path_of
from tests.lmjob.bodies import changed

pytestmark = pytest.mark.cluster

EXAMPLES = sorted((Path(__file__).parents[2] / "manifests/examples").glob("*.yaml"))

DRY_RUN = "?dryRun=All&fieldValidation=Strict"

TERM = {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a", "b"]}]}
SELECTOR = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]}
POD_TERM = {"topologyKey": "kubernetes.io/hostname", "labelSelector": SELECTOR}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

EVERYTHING: dict[str, Any] = {
    "spec.pods": {
        "resources": {
            "requests": {"cpu": "250m", "memory": "1Gi"},
            "limits": {"memory": "2Gi", "nvidia.com/gpu": 1},
        },
        "sharedMemory": "1Gi",
        "imagePullSecrets": [{"name": "pull"}],
        "nodeSelector": {"pool": "1e3"},
        "tolerations": [
            {"operator": "Exists"},
            {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5},
        ],
        "affinity": {
            "nodeAffinity": {
                REQUIRED: {"nodeSelectorTerms": [TERM]},
                PREFERRED: [{"weight": 1, "preference": TERM}],
            },
            "podAffinity": {PREFERRED: [{"weight": 3, "podAffinityTerm": POD_TERM}]},
            "podAntiAffinity": {REQUIRED: [POD_TERM]},
        },
        "labels": {"team": "yes", "app.kubernetes.io/name": "mine"},
        "annotations": {"note": '😀 {{7*7}} $(X) "}, {"'},
        "env": [{"name": "TOKEN", "value": "$(HF_TOKEN) $$(A) $"}, {"name": "a.b-c"}],
    },
    "spec.data.train": ["pvc://corpus.v1/wiki/*.txt"],
    "spec.data.cache": "pvc://cache/sets",
    "spec.evaluate.fill": ['"]  securityContext: {privileged: true} [MASK]'],
}


def plan_of(body: Any, namespace: str) -> JobPlan:
    job = dataclasses.replace(parse_job(body), namespace=namespace)
    return plan_job(job, uid=UID, facts=Facts(default_image="lmtrainer:test"))


@pytest.fixture
def ready(api: Api, namespace: str) -> str:
    """The namespace, once pods can be made in it."""
    api.wait(lambda: api.get("serviceaccounts", namespace, "default"), what="service account")
    return namespace


def send(api: Api, found: dict[str, Any]) -> Any:
    plural = {"ConfigMap": "configmaps", "Service": "services", "Pod": "pods"}[found["kind"]]
    return api.must("POST", path_of(plural, found["metadata"]["namespace"]) + DRY_RUN, found)


def kept(sent: Any, answer: Any) -> bool:
    """Whether everything that was sent is in the answer. The server leaves out what is empty or
    false, and adds its own."""
    if isinstance(sent, dict):
        return all(
            (not value and key not in answer) or kept(value, answer[key])
            for key, value in sent.items()
        )
    if isinstance(sent, list):
        return len(sent) == len(answer) and all(map(kept, sent, answer))
    return bool(sent == answer)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_objects_of_an_example_are_accepted(api, ready, example):
    for found in objects(plan_of(read_job_file(example.read_bytes()), ready)):
        assert kept(found, send(api, found))


def test_everything_that_a_user_may_say_of_pods_is_accepted_as_it_is_written(api, ready):
    made = list(objects(plan_of(changed(EVERYTHING), ready)))
    assert any(MASTER_IP in str(found) for found in made)
    for found in made:
        assert kept(found, send(api, found))


def test_the_namespace_refuses_a_pod_of_more_rights(api, ready):
    *_, found = objects(plan_of(changed({}), ready))
    found["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(ApiError, match="violates PodSecurity"):
        send(api, found)
