"""What the operator creates for a job: its config map, its service and its pods."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest

from lmjob.core.plan import JobPlan
from lmjob.render import config_map, owner_reference, pod, service
from lmtrainer.config import MistakesError, ResolvedRun, parse
from lmtrainer.contract.environment import from_env
from tests.lmjob.rendered import MASTER_IP, UID, container_of, env_of, plan_with, pods_of


def test_every_object_is_owned_by_the_job_and_goes_with_it():
    plan = plan_with()
    for found in (config_map(plan), service(plan), *pods_of(plan).values()):
        assert found["metadata"]["ownerReferences"] == [owner_reference(plan)]
        assert found["metadata"]["namespace"] == "default"
        assert "finalizers" not in found["metadata"]
    assert owner_reference(plan) == {
        "apiVersion": "lmtraining.dev/v1alpha1",
        "kind": "LMTrainingJob",
        "name": "good",
        "uid": UID,
        "controller": True,
    }


def test_the_config_map_holds_the_frozen_plan_and_the_trainers_configuration():
    plan = plan_with()
    found = config_map(plan)
    assert found["immutable"] is True
    assert parse(JobPlan, json.loads(found["data"]["plan.json"])) == plan
    assert parse(ResolvedRun, json.loads(found["data"]["config.json"])) == plan.run
    assert not {" ", "\n"} & set(found["data"]["plan.json"])


def test_a_plan_that_no_config_map_holds_is_a_mistake_with_its_size():
    plan = plan_with({"spec.evaluate.fill": ["[MASK]" + "x" * 4000]})
    looks = dataclasses.replace(plan.run.evaluate, fill=plan.run.evaluate.fill * 140)
    run = dataclasses.replace(plan.run, evaluate=looks)
    with pytest.raises(MistakesError, match=r"the frozen plan has 1,1\d\d,\d{3} bytes"):
        config_map(dataclasses.replace(plan, run=run))


def test_the_service_leads_to_the_leader_before_it_is_ready():
    plan = plan_with()
    found, pods = service(plan), pods_of(plan)
    spec = found["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    chosen = {
        name
        for name, p in pods.items()
        if spec["selector"].items() <= p["metadata"]["labels"].items()
    }
    assert chosen == {"prepare-0", "master-0", "evaluate-0"}, "the leader of each stage"
    assert [port["port"] for port in spec["ports"]] == [29500, 8080]


def test_each_pod_is_named_by_job_attempt_role_and_index():
    pods = pods_of(plan_with())
    name = service(plan_with())["metadata"]["name"]
    for key, found in pods.items():
        assert found["metadata"]["name"] == f"{name}-3-{key}" == found["spec"]["hostname"]
    labels = pods["worker-1"]["metadata"]["labels"]
    assert labels == {
        "team": "nlp",
        "app.kubernetes.io/name": "lmtrainer",
        "app.kubernetes.io/instance": "good",
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/managed-by": "lmjob-operator",
        "lmtraining.dev/job-name": "good",
        "lmtraining.dev/job-uid": UID,
        "lmtraining.dev/attempt": "3",
        "lmtraining.dev/role": "worker",
        "lmtraining.dev/index": "1",
        "lmtraining.dev/node-rank": "2",
    }


def test_labels_of_the_operator_win_over_a_users():
    plan = plan_with({"spec.pods.labels": {"app.kubernetes.io/name": "mine"}})
    for found in pods_of(plan).values():
        assert found["metadata"]["labels"]["app.kubernetes.io/name"] == "lmtrainer"


def test_the_launcher_reads_its_environment_and_its_configuration():
    plan = plan_with()
    for key, found in pods_of(plan).items():
        node, container = from_env(env_of(found)), container_of(found)
        stage = (
            "train"
            if key[:6] in ("master", "worker")
            else found["metadata"]["labels"]["lmtraining.dev/role"]
        )
        assert container["command"] == ["lmtrainer"]
        assert container["args"] == [
            "launch",
            "--stage",
            stage,
            "--config",
            "/etc/lmtrainer/config.json",
        ]
        assert (node.job_uid, node.attempt) == (UID, 3)
        assert node.master_addr == service(plan)["metadata"]["name"]
        assert (node.master_port, node.status_port) == (29500, 8080)
        assert node.grace_seconds < found["spec"]["terminationGracePeriodSeconds"] == 60
    ranks = [from_env(env_of(pods_of(plan)[key])).node_rank for key in ("master-0", "worker-1")]
    assert ranks == [0, 2]


def test_what_libraries_keep_lies_in_a_writable_folder():
    for found in pods_of(plan_with()).values():
        env = env_of(found)
        assert env["HOME"] == "/tmp"
        for name in ("HF_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"):
            assert env[name].startswith("/tmp/")


def test_a_users_variables_are_set_and_win_over_places_of_caches():
    plan = plan_with({"spec.pods.env": [{"name": "HF_HOME", "value": "/mnt/claims/hf"}]})
    assert env_of(pods_of(plan)["worker-0"])["HF_HOME"] == "/mnt/claims/hf"


def test_a_secret_is_named_in_the_pods_of_its_roles_and_nowhere_read():
    source = {"secretKeyRef": {"name": "s3", "key": "secret-key"}}
    changes = {
        "spec.pods.env": [{"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": source}],
        "spec.workers.env": [{"name": "HF_HOME", "valueFrom": source}],
        "spec.evaluate.env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "$(x)"}],
    }
    found = pods_of(plan_with(changes))
    for key in ("prepare-0", "master-0", "worker-0", "worker-1"):
        variables = container_of(found[key])["env"]
        assert variables.count({"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": source}) == 1
        names = [variable["name"] for variable in variables]
        assert len(set(names)) == len(names)
    assert {"name": "HF_HOME", "valueFrom": source} in container_of(found["worker-0"])["env"]
    assert env_of(found["evaluate-0"])["AWS_SECRET_ACCESS_KEY"] == "$$(x)"


def test_no_start_waits_for_dns():
    plan = plan_with()
    host = service(plan)["metadata"]["name"]
    for key, found in pods_of(plan).items():
        ip = MASTER_IP if key.startswith("worker") else "127.0.0.1"
        assert found["spec"]["hostAliases"] == [{"ip": ip, "hostnames": [host]}]
    assert "hostAliases" not in pods_of(plan, master_ip=None)["worker-0"]["spec"]


def test_ready_means_that_the_launcher_answered():
    for found in pods_of(plan_with()).values():
        container = container_of(found)
        assert container["readinessProbe"] == {
            "httpGet": {"path": "/readyz", "port": 8080},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        }
        liveness = container["livenessProbe"]
        assert liveness["httpGet"] == {"path": "/healthz", "port": 8080}
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60


def test_pods_meet_the_restricted_level_and_have_no_token():
    for found in pods_of(plan_with()).values():
        spec, container = found["spec"], container_of(found)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["restartPolicy"] == "Never"
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_settings_of_a_user_are_passed_on():
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["a"]}]}
                ]
            }
        }
    }
    toleration = {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}
    plan = plan_with(
        {
            "spec.pods": {
                "resources": {"limits": {"memory": "2Gi", "example.org/npu": 2}},
                "sharedMemory": "3Gi",
                "imagePullSecrets": [{"name": "pull"}],
                "nodeSelector": {"pool": "a"},
                "tolerations": [toleration],
                "affinity": affinity,
                "annotations": {"note": "1e3"},
                "priorityClassName": "high",
                "runtimeClassName": "gvisor",
            },
            "spec.terminationGracePeriodSeconds": 90,
        }
    )
    found = pods_of(plan)["worker-0"]
    spec, container = found["spec"], container_of(found)
    assert found["metadata"]["annotations"] == {"note": "1e3"}
    assert container["resources"]["limits"] == {"memory": "2Gi", "example.org/npu": "2"}
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["nodeSelector"] == {"pool": "a"}
    assert spec["tolerations"][0].items() >= toleration.items()
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["a"]
    assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("high", "gvisor")
    assert spec["terminationGracePeriodSeconds"] == 90
    memory = next(v["emptyDir"] for v in spec["volumes"] if v["name"] == "shm")
    assert memory == {"medium": "Memory", "sizeLimit": "3Gi"}
    resources = container_of(pods_of(plan)["prepare-0"])["resources"]
    assert resources["limits"] == {"memory": "2Gi"}


def test_fields_that_nobody_gave_are_not_there():
    for found in pods_of(plan_with()).values():
        missing = {"affinity", "priorityClassName", "runtimeClassName"}
        assert not missing & found["spec"].keys()
        memory = next(v["emptyDir"] for v in found["spec"]["volumes"] if v["name"] == "shm")
        assert memory == {"medium": "Memory"}


def test_a_pod_leaves_a_lost_node_after_30_seconds():
    for found in pods_of(plan_with()).values():
        lost = {
            t["key"].partition("/")[2]: t["tolerationSeconds"]
            for t in found["spec"]["tolerations"]
            if t["effect"] == "NoExecute"
        }
        assert lost == {"not-ready": 30, "unreachable": 30}


def test_equal_plans_give_equal_objects():
    assert json.dumps(pods_of(plan_with())) == json.dumps(pods_of(plan_with()))


def test_thousands_of_pods_are_rendered_in_seconds():
    plan = plan_with()
    worker = plan.stage("train").replicas[1]
    begin = time.process_time()
    for _ in range(200):
        pod(plan, "train", worker, 1, master_ip=MASTER_IP)
    assert (time.process_time() - begin) / 200 < 0.003  # 0.0004 s on the machine of its making
