"""From a specification to a frozen plan: stages, ranks, and every choice that was left open."""

from __future__ import annotations

import dataclasses
import json

import pytest

from lmjob.api.spec import PodSettings, parse_job
from lmjob.api.spec.variables import SecretKey
from lmjob.core.plan import Facts, JobPlan, plan_hash, plan_job
from lmtrainer.config import config_hash, document, parse
from lmtrainer.contract.reports import Position
from tests.lmjob.bodies import REMOVED, changed

GPU = "nvidia.com/gpu"
ON_GPUS = {
    "spec.pods.resources": {"limits": {GPU: 8}},
    "spec.phases[0].globalBatchSize": 768,
    "spec.phases[0].microBatchSize": 24,
}
TWO_PHASES = [
    {"name": "short", "steps": 9000, "globalBatchSize": 32},
    {"name": "long", "steps": 1000, "globalBatchSize": 32},
]


def planned(changes: dict | None = None, *, uid: str = "u-1", **facts) -> JobPlan:
    return plan_job(parse_job(changed(changes or {})), uid=uid, facts=Facts(**facts))


def test_a_job_is_prepared_by_one_node_trained_by_a_group_and_evaluated_by_one_node():
    plan = planned()
    assert [stage.name for stage in plan.stages] == ["prepare", "train", "evaluate"]
    assert [str(r.key) for r in plan.stage("prepare").replicas] == ["prepare-0"]
    assert [str(r.key) for r in plan.stage("evaluate").replicas] == ["evaluate-0"]
    train = plan.stage("train")
    assert [(str(r.key), r.node_rank) for r in train.replicas] == [
        ("master-0", 0),
        ("worker-0", 1),
        ("worker-1", 2),
        ("worker-2", 3),
    ]
    assert train.leader.key.role == "master"
    assert train.world_size == 4


def test_a_dataset_may_be_made_by_several_nodes_of_which_the_first_leads():
    plan = planned({"spec.prepare.replicas": 3})
    stage = plan.stage("prepare")
    found = [(str(r.key), r.node_rank, r.processes) for r in stage.replicas]
    assert found == [("prepare-0", 0, 1), ("prepare-1", 1, 1), ("prepare-2", 2, 1)]
    assert (stage.leader.node_rank, stage.world_size) == (0, 3)
    assert plan.stage("train") == planned().stage("train")
    assert plan.config_hash == planned().config_hash, "who makes it changes nothing of it"


def test_one_node_prepares_unless_more_are_asked_for():
    assert planned({"spec.prepare.replicas": 1}) == planned()


def test_a_job_without_workers_is_a_master():
    plan = planned({"spec.workers": REMOVED})
    assert [str(r.key) for r in plan.stage("train").replicas] == ["master-0"]
    assert "worker" not in plan.pods


def test_nodes_have_as_many_processes_as_gpus():
    plan = planned(ON_GPUS)
    assert {r.processes for r in plan.stage("train").replicas} == {8}
    assert plan.stage("train").world_size == 32
    assert plan.stage("prepare").world_size == plan.stage("evaluate").world_size == 1


def test_processes_may_be_said():
    plan = planned({"spec.processesPerNode": 2})
    assert plan.stage("train").world_size == 8


class TestTarget:
    def test_training_ends_with_the_last_phase(self):
        plan = planned({"spec.phases": TWO_PHASES})
        target = plan.stage("train").target
        assert target == Position(phase_index=1, step=1000, phase="long")
        assert plan.stage("prepare").target is None
        assert plan.stage("evaluate").target is None

    def test_with_epochs_only_the_data_can_tell(self):
        plan = planned({"spec.phases": [{"name": "a", "epochs": 2}]})
        assert plan.stage("train").target is None


class TestPrecision:
    def test_it_is_bf16_on_gpus_and_fp32_elsewhere_unless_said(self):
        assert planned().run.precision == "fp32"
        assert planned(ON_GPUS).run.precision == "bf16"
        assert planned({**ON_GPUS, "spec.precision": "fp32"}).run.precision == "fp32"
        assert planned({"spec.precision": "bf16"}).run.precision == "bf16"


class TestThreads:
    def threads(self, resources: dict | None, processes: int = 1, **facts) -> int:
        changes = {
            "spec.pods.resources": resources or {},
            "spec.processesPerNode": processes,
            "spec.phases[0].globalBatchSize": 192,
        }
        return planned(changes, **facts).run.threads_per_process

    @pytest.mark.parametrize(
        ("resources", "processes", "threads"),
        [
            ({"limits": {"cpu": 8}}, 1, 8),
            ({"limits": {"cpu": 8}}, 3, 2),
            ({"limits": {"cpu": 8}, "requests": {"cpu": 2}}, 1, 8),
            ({"requests": {"cpu": "3500m"}}, 1, 3),
            ({"requests": {"cpu": "250m"}}, 1, 1),
            ({"requests": {"cpu": 2}}, 4, 1),
            (None, 1, 1),
        ],
    )
    def test_they_are_the_cpus_of_a_pod_shared_out(self, resources, processes, threads):
        assert self.threads(resources, processes) == threads

    @pytest.mark.parametrize(
        ("cpus", "processes", "threads"), [(16, 1, 4), (16, 2, 2), (2, 1, 1), (9, 1, 2)]
    )
    def test_on_one_machine_all_nodes_share_its_cores(self, cpus, processes, threads):
        assert self.threads(None, processes, cpus=cpus) == threads

    def test_the_pod_decides_also_on_one_machine(self):
        assert self.threads({"limits": {"cpu": 3}}, cpus=64) == 3

    def test_the_fewest_of_master_and_workers_count(self):
        changes = {
            "spec.pods.resources": {"limits": {"cpu": 8}},
            "spec.workers.resources": {"limits": {"cpu": 4}},
        }
        assert planned(changes).run.threads_per_process == 4

    def test_they_may_be_said(self):
        assert planned({"spec.threadsPerProcess": 5}, cpus=2).run.threads_per_process == 5


class TestPods:
    def test_the_plan_alone_says_what_each_pod_is(self):
        plan = planned(
            {
                **ON_GPUS,
                "spec.workers.nodeSelector": {"pool": "spot"},
                "spec.prepare.resources": {"requests": {"cpu": 8}},
                "spec.pods.imagePullSecrets": [{"name": "registry"}],
            }
        )
        assert set(plan.pods) == {"prepare", "master", "worker", "evaluate"}
        assert dict(plan.pods["worker"].node_selector) == {"pool": "spot"}
        assert dict(plan.pods["master"].node_selector) == {}
        assert dict(plan.pods["prepare"].resources.requests) == {"cpu": "8"}
        assert plan.pods["prepare"].resources.gpus == 0
        assert plan.pods["evaluate"].resources.gpus == 1
        assert plan.pods["master"].image_pull_secrets[0].name == "registry"
        assert {type(pod) for pod in plan.pods.values()} == {PodSettings}

    def test_variables_of_pods_and_role_are_joined_and_literal(self):
        changes = {
            "spec.pods.env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}],
            "spec.workers.env": [{"name": "A", "value": "2"}],
        }
        plan = planned(changes)
        master, *workers = plan.stage("train").replicas
        assert dict(master.env) == {"A": "1", "B": "$(A)"}
        assert {w.env["A"] for w in workers} == {"2"}
        assert plan.stage("prepare").leader.env["A"] == "1"

    def test_a_plan_says_where_a_secret_lies_for_each_role_that_needs_it(self):
        own, shared = secret("own", "a"), secret("shared", "b")
        changes = {
            "spec.pods.env": [{"name": "A", **shared}, {"name": "B", **shared}],
            "spec.workers.env": [{"name": "A", "value": "literal"}],
            "spec.evaluate.env": [{"name": "A", **own}],
        }
        plan = planned(changes)
        a, b = SecretKey(name="own", key="a"), SecretKey(name="shared", key="b")
        assert plan.secrets_of("master") == {"A": b, "B": b}
        assert plan.secrets_of("worker") == {"B": b}
        assert plan.secrets_of("evaluate") == {"A": a, "B": b}
        master, *workers = plan.stage("train").replicas
        assert dict(master.env) == {}
        assert [dict(worker.env) for worker in workers] == [{"A": "literal"}] * 3
        assert planned({**changes, "spec.workers.replicas": 0}).secrets_of("worker") == {}


def secret(name: str, key: str) -> dict:
    return {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


class TestFrozen:
    @pytest.mark.parametrize("changes", [{}, ON_GPUS, {"spec.phases": TWO_PHASES}])
    def test_a_plan_reads_back_equal_from_its_document(self, changes):
        plan = planned(changes, cpus=2)
        plain = json.loads(json.dumps(document(plan), allow_nan=False))
        again = parse(JobPlan, plain)
        assert again == plan
        assert plan_hash(again) == plan.plan_hash

    def test_a_plan_of_a_job_without_secrets_is_what_it_was_before_there_were_any(self):
        plain = document(planned())
        assert "secrets" not in plain
        assert parse(JobPlan, plain).secrets is None
        named = planned({"spec.pods.env": [{"name": "A", **secret("s3", "a")}]})
        assert parse(JobPlan, json.loads(json.dumps(document(named)))) == named

    def test_equal_jobs_have_equal_plans_and_others_do_not(self):
        assert planned() == planned()
        others = [
            planned(uid="u-2"),
            planned({"spec.workers.replicas": 1}),
            planned({"spec.image": "other"}),
            planned({"spec.pods.labels": {"a": "b"}}),
        ]
        assert len({plan.plan_hash for plan in (planned(), *others)}) == 5

    def test_the_hash_covers_every_field(self):
        plan = planned()
        for field in dataclasses.fields(JobPlan):
            if field.name in ("plan_hash", "job", "run", "stages", "pods"):
                continue
            value = getattr(plan, field.name)
            other = value + 1 if isinstance(value, int | float) else f"{value}x"
            assert plan_hash(dataclasses.replace(plan, **{field.name: other})) != plan.plan_hash

    def test_nothing_is_left_to_be_decided_later(self):
        plan = planned()
        assert plan.run.precision == "fp32"
        assert plan.run.tokenizer.train.vocab_size == 30522
        assert plan.run.model.config.layers == 2
        assert plan.run.phases[0].warmup_steps == 100
        assert plan.config_hash == config_hash(plan.run)

    def test_the_image_is_that_of_the_job_or_the_default(self):
        assert planned(default_image="a:1").image == "example.org/lmtrainer:0.1.0"
        assert planned({"spec.image": REMOVED}, default_image="a:1").image == "a:1"

    def test_policies_are_in_the_plan(self):
        changes = {
            "spec.startup": {"timeoutSeconds": 30},
            "spec.failurePolicy": {"maxRestarts": 0},
            "spec.terminationGracePeriodSeconds": 90,
        }
        plan = planned(changes)
        assert (plan.startup_seconds, plan.max_restarts, plan.grace_seconds) == (30.0, 0, 90.0)

    def test_the_plan_of_the_largest_job_fits_into_an_object_of_kubernetes(self):
        plan = planned({"spec.workers.replicas": 4096, "spec.phases[0].globalBatchSize": 4 * 4097})
        text = json.dumps(document(plan), separators=(",", ":"))
        assert len(text) < 700_000
        assert parse(JobPlan, json.loads(text)) == plan
