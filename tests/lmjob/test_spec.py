"""The specification of a job: what may be written, what it means, what is refused."""

from __future__ import annotations

import json

import pytest

from lmjob.api.spec import JobSpec, parse_job, pod_of, processes_of, world_size
from lmtrainer.config import RunConfig, document, parse
from tests.lmjob.bodies import GOOD, REMOVED, changed, mistakes_in, spec_of

GPU = "nvidia.com/gpu"


def test_the_shortest_job_is_a_job():
    spec = {
        "data": {"train": ["pvc://corpus/wiki/*.txt"]},
        "model": {"type": "bert", "preset": "small"},
        "phases": [{"name": "main", "steps": 9000}],
        "output": {"to": "pvc://results/bert-small"},
        "workers": {"replicas": 2},
    }
    job = parse_job({**GOOD, "spec": spec})
    assert (job.name, job.namespace, job.uid) == ("good", "default", None)
    assert world_size(job.spec) == 3
    assert job.spec.failure_policy.max_restarts == 3
    assert job.spec.startup.timeout_seconds is None
    assert job.spec.image is None


def test_metadata_and_status_of_a_cluster_do_not_disturb():
    body = changed({"metadata.uid": "u-1", "metadata.managedFields": [{}], "status": {"x": 1}})
    assert parse_job(body).uid == "u-1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"apiVersion": "v1"}, 'apiVersion: must be lmtraining.dev/v1alpha1 (got "v1")'),
        ({"kind": "Job"}, 'kind: must be LMTrainingJob (got "Job")'),
        ({"kind": REMOVED}, "kind: required; write kind: LMTrainingJob"),
        ({"metadata": REMOVED}, "metadata: required; write metadata: {name: my-job}"),
        ({"metadata.name": REMOVED}, "metadata.name: required"),
        ({"metadata.namespace": "A"}, "metadata.namespace: must be at most 63 lower-case"),
        ({"spec": None}, "spec: required; give spec.data, spec.model, spec.phases"),
        ({"spek": {}}, "spek: unknown field; did you mean spec?"),
    ],
)
def test_a_document_that_is_no_job_is_refused(changes, message):
    (found,) = mistakes_in(changed(changes))
    assert found.startswith(message)


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_a_document_that_is_no_object_is_refused(body):
    assert mistakes_in(body)[0].startswith("LMTrainingJob: must be an object")


def test_a_spec_printed_and_read_again_is_equal():
    spec = spec_of({"spec.workers.nodeSelector": {"pool": "spot"}, "spec.suspend": True})
    plain = json.loads(json.dumps(document(spec)))
    assert parse(JobSpec, plain) == spec


def test_the_trainer_gets_its_part_and_nothing_of_pods():
    spec = spec_of({"spec.evaluate": {"everySteps": 5, "resources": {"limits": {"cpu": 1}}}})
    run = spec.run()
    assert type(run) is RunConfig
    assert document(run)["evaluate"] == {"everySteps": 5, "onlyMlm": False, "fill": []}
    assert parse(RunConfig, document(run)) == run
    assert spec.evaluate.resources.limits["cpu"] == "1"


class TestSizeOfTheGroup:
    def test_processes_are_the_gpus_of_a_node(self):
        spec = spec_of(
            {
                "spec.pods.resources.limits": {GPU: 8, "memory": "8Gi"},
                "spec.phases[0].globalBatchSize": 128,
            }
        )
        assert processes_of(spec, "master") == processes_of(spec, "worker") == 8
        assert world_size(spec) == 32

    def test_without_gpus_a_node_has_one_process(self):
        assert world_size(spec_of()) == 4

    def test_only_the_training_group_has_several_processes(self):
        spec = spec_of({"spec.processesPerNode": 2})
        roles = ("prepare", "master", "worker", "evaluate")
        assert [processes_of(spec, role) for role in roles] == [1, 2, 2, 1]

    def test_nodes_with_different_gpus_are_refused(self):
        changes = {
            "spec.pods.resources.limits": {GPU: 8, "memory": "8Gi"},
            "spec.master.resources": {"limits": {GPU: 4}},
        }
        (message,) = mistakes_in(changed(changes))
        assert message.startswith(
            'spec.processesPerNode: the master has 4 GPUs, a worker 8 (got "auto"); give all nodes'
        )

    def test_a_group_half_on_gpus_is_refused(self):
        changes = {
            "spec.processesPerNode": 2,
            "spec.workers.resources": {"limits": {GPU: 2}},
        }
        (message,) = mistakes_in(changed(changes))
        assert message.startswith("spec.processesPerNode: the master has 0 GPUs, a worker 2")

    def test_more_processes_than_gpus_are_refused(self):
        changes = {
            "spec.processesPerNode": 4,
            "spec.pods.resources.limits": {GPU: 2, "memory": "8Gi"},
        }
        (message,) = mistakes_in(changed(changes))
        assert message.startswith(
            "spec.processesPerNode: is more than the 2 GPUs of a node: each process needs its own "
            "(got 4); at most 2"
        )

    def test_a_batch_with_less_than_a_sequence_for_each_process_is_refused(self):
        changes = {
            "spec.phases[0].microBatchSize": REMOVED,
            "spec.phases[0].globalBatchSize": 3,
        }
        (message,) = mistakes_in(changed(changes))
        assert message.startswith(
            "spec.phases[0].globalBatchSize: is less than the 4 processes: some would have nothing"
        )

    def test_the_batch_is_judged_by_the_real_number_of_processes(self):
        assert mistakes_in(changed({"spec.workers.replicas": 6})) != []
        assert mistakes_in(changed({"spec.workers.replicas": 7})) == []


class TestPodsOfRoles:
    def test_a_role_goes_over_pods_name_by_name(self):
        spec = spec_of(
            {
                "spec.pods.nodeSelector": {"zone": "a", "pool": "std"},
                "spec.workers.nodeSelector": {"pool": "spot"},
                "spec.workers.env": [{"name": "B", "value": "2"}, {"name": "A", "value": "9"}],
                "spec.workers.priorityClassName": "low",
                "spec.pods.tolerations": [{"key": "x", "operator": "Exists"}],
            }
        )
        worker, master = pod_of(spec, "worker"), pod_of(spec, "master")
        assert dict(worker.node_selector) == {"zone": "a", "pool": "spot"}
        assert dict(master.node_selector) == {"zone": "a", "pool": "std"}
        assert sorted((v.name, v.value) for v in worker.env) == [("A", "9"), ("B", "2")]
        assert [(v.name, v.value) for v in master.env] == [("A", "1")]
        assert (worker.priority_class_name, master.priority_class_name) == ("low", None)
        assert worker.tolerations == master.tolerations != ()

    def test_a_resource_of_a_role_replaces_both_request_and_limit(self):
        spec = spec_of({"spec.prepare.resources": {"requests": {"memory": "32Gi"}}})
        found = pod_of(spec, "prepare").resources
        assert dict(found.requests) == {"cpu": "2", "memory": "32Gi"}
        assert dict(found.limits) == {}
        spec = spec_of({"spec.prepare.resources": {"limits": {"cpu": 1}}})
        found = pod_of(spec, "prepare").resources
        assert dict(found.requests) == {"memory": "4Gi"}
        assert dict(found.limits) == {"memory": "8Gi", "cpu": "1"}

    def test_prepare_gets_no_gpu_and_evaluate_one_unless_they_ask(self):
        eight = {
            "spec.pods.resources.limits": {GPU: 8, "memory": "8Gi"},
            "spec.pods.resources.requests": {GPU: 8},
            "spec.phases[0].globalBatchSize": 128,
        }
        spec = spec_of(eight)
        assert dict(pod_of(spec, "prepare").resources.limits) == {"memory": "8Gi"}
        assert dict(pod_of(spec, "prepare").resources.requests) == {}
        assert dict(pod_of(spec, "evaluate").resources.limits) == {GPU: "1", "memory": "8Gi"}
        assert dict(pod_of(spec, "evaluate").resources.requests) == {GPU: "1"}
        asked = spec_of({**eight, "spec.evaluate.resources": {"limits": {GPU: 4}}})
        assert pod_of(asked, "evaluate").resources.gpus == 4
