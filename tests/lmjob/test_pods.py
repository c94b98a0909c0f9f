"""Fields of pods: labels, tolerations, affinity, variables. A closed list."""

from __future__ import annotations

import pytest

from lmjob.api.spec.refusals import REFUSED_POD_FIELDS
from lmtrainer.config.mistakes import Mistake
from lmtrainer.contract.environment import NodeEnvironment, to_env
from tests.lmjob.bodies import changed, mistakes_in, mistakes_in_pods, spec_of


class TestVariables:
    @pytest.mark.parametrize("name", sorted(to_env(NodeEnvironment(job_uid="u", attempt=1))))
    def test_no_variable_of_the_contract_can_be_set(self, name):
        (message,) = mistakes_in_pods(env=[{"name": name, "value": "x"}])
        assert message.startswith("spec.pods.env[0].name: is reserved")

    @pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID", "PET_NNODES"])
    def test_no_variable_of_the_ranks_can_be_set(self, name):
        assert "is reserved" in mistakes_in_pods(env=[{"name": name}])[0]

    @pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"])
    def test_no_variable_that_loads_code_can_be_set(self, name):
        assert "is not allowed" in mistakes_in_pods(env=[{"name": name}])[0]

    def test_threads_have_a_field_of_their_own(self):
        (message,) = mistakes_in_pods(env=[{"name": "OMP_NUM_THREADS", "value": "4"}])
        assert message.endswith("remove it and give spec.threadsPerProcess")

    @pytest.mark.parametrize("name", ["", "1A", "A=B", "A B", "A\n", "é"])
    def test_a_name_that_is_none_is_refused(self, name):
        assert "must be letters, digits" in mistakes_in_pods(env=[{"name": name}])[0]

    def test_a_number_as_value_is_refused_as_kubernetes_does(self):
        (message,) = mistakes_in_pods(env=[{"name": "A", "value": 1}])
        assert message == "spec.pods.env[0].value: must be a string (got 1); put it in quotes"

    def test_one_name_twice_is_refused(self):
        (message,) = mistakes_in_pods(env=[{"name": "A"}, {"name": "B"}, {"name": "A"}])
        assert message == 'spec.pods.env[2].name: is used twice (got "A"); remove one'

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ({}, ".secretKeyRef: required; give secretKeyRef: entry of a Secret"),
            ({"secretKeyRef": {"name": "s3"}}, ".secretKeyRef.key: required; give key: key in the"),
            (
                {"secretKeyRef": {"name": "S3", "key": "a"}},
                ".secretKeyRef.name: must be lower-case",
            ),
            (
                {"secretKeyRef": {"name": "s3", "key": "a", "optional": True}},
                ".secretKeyRef.optional: cannot be set; a pod waits for its Secret; the job says",
            ),
            (
                {"fieldRef": {"fieldPath": "x"}, "secretKeyRef": {"name": "s3", "key": "a"}},
                ".fieldRef: cannot be set; give a value, or secretKeyRef",
            ),
        ],
    )
    def test_the_only_source_of_a_value_is_an_entry_of_a_secret(self, source, message):
        (found,) = mistakes_in_pods(env=[{"name": "A", "valueFrom": source}])
        assert found.startswith(f"spec.pods.env[0].valueFrom{message}")

    @pytest.mark.parametrize("key", ["a", "AWS_SECRET_ACCESS_KEY", ".netrc", "a..b", "x" * 253])
    def test_keys_of_secrets_are_those_of_kubernetes(self, key):
        source = {"secretKeyRef": {"name": "s3", "key": key}}
        assert mistakes_in_pods(env=[{"name": "A", "valueFrom": source}]) == []

    @pytest.mark.parametrize("key", ["", ".", "..", "..a", "a/b", "a b", "é", "a\n", "x" * 254])
    def test_other_keys_are_refused(self, key):
        source = {"secretKeyRef": {"name": "s3", "key": key}}
        (found,) = mistakes_in_pods(env=[{"name": "A", "valueFrom": source}])
        assert ".secretKeyRef.key: is not a key of a Secret, such as access-key" in found

    @pytest.mark.parametrize("value", ["x", ""])
    def test_a_variable_has_one_value(self, value):
        source = {"secretKeyRef": {"name": "s3", "key": "a"}}
        (found,) = mistakes_in_pods(env=[{"name": "A", "value": value, "valueFrom": source}])
        rule = "cannot be given beside a value (got an object); remove either"
        assert found == f"spec.pods.env[0].valueFrom: {rule}"

    def test_code_is_loaded_out_of_no_secret_either(self):
        source = {"secretKeyRef": {"name": "s3", "key": "a"}}
        (found,) = mistakes_in_pods(env=[{"name": "LD_PRELOAD", "valueFrom": source}])
        assert "is not allowed" in found


class TestLabels:
    @pytest.mark.parametrize("key", ["a", "example.org/a", "A_b.c-d", "kueue.x-k8s.io/queue-name"])
    def test_label_keys_of_kubernetes_are_accepted(self, key):
        assert mistakes_in_pods(labels={key: "v"}) == []

    @pytest.mark.parametrize("key", ["", "a b", "/a", "a/", "a/b/c", "-a", "A.org/a", "x" * 64])
    def test_other_keys_are_refused(self, key):
        (message,) = mistakes_in_pods(labels={key: "v"})
        assert "is not a label key" in message

    @pytest.mark.parametrize("value", ["", "a", "A.b_c-9", "x" * 63])
    def test_label_values_of_kubernetes_are_accepted(self, value):
        assert mistakes_in_pods(labels={"a": value}) == []

    @pytest.mark.parametrize("value", ["-a", "a/b", "a b", "x" * 64, "a\n"])
    def test_other_values_are_refused_but_fit_an_annotation(self, value):
        (message,) = mistakes_in_pods(labels={"a": value})
        assert message.startswith("spec.pods.labels.a: must be at most 63 letters")
        assert mistakes_in_pods(annotations={"a": value}) == []

    @pytest.mark.parametrize("field", ["labels", "annotations"])
    def test_the_prefix_of_the_operator_is_its_own(self, field):
        (message,) = mistakes_in_pods(**{field: {"lmtraining.dev/job": "x"}})
        assert "lmtraining.dev/ is the operator's own" in message

    def test_annotations_that_switch_protection_off_are_refused(self):
        key = "container.apparmor.security.beta.kubernetes.io/main"
        (message,) = mistakes_in_pods(annotations={key: "unconfined"})
        assert "weakens the pod's protection" in message


class TestPlacement:
    @pytest.mark.parametrize(
        ("toleration", "message"),
        [
            ({"key": "a", "value": "b", "effect": "NoSchedule"}, None),
            ({"operator": "Exists"}, None),
            ({"key": "a", "effect": "NoExecute", "tolerationSeconds": 30}, None),
            ({}, "operator: without a key must be Exists"),
            ({"key": "a", "operator": "Exists", "value": "b"}, "value: Exists takes no value"),
            ({"key": "a", "tolerationSeconds": 3}, "tolerationSeconds: needs effect NoExecute"),
            ({"key": "a b"}, "key: is not the key of a taint"),
            ({"key": "a", "effect": "noexecute"}, "effect: must be one of NoSchedule"),
        ],
    )
    def test_tolerations(self, toleration, message):
        found = mistakes_in_pods(tolerations=[toleration])
        assert [m.startswith(f"spec.pods.tolerations[0].{message}") for m in found] == (
            [] if message is None else [True]
        )

    def test_affinity_of_kubernetes_is_read(self):
        gpu = {"key": "gpu", "operator": "In", "values": ["h100"]}
        near = {
            "labelSelector": {"matchLabels": {"app": "x"}},
            "topologyKey": "kubernetes.io/hostname",
        }
        affinity = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [gpu]}]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 5, "preference": {"matchExpressions": [gpu]}}
                ],
            },
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [near],
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": near}
                ],
            },
        }
        found = spec_of({"spec.pods.affinity": affinity}).pods.affinity
        assert (
            found.node_affinity.preferred_during_scheduling_ignored_during_execution[0].weight == 5
        )

    def test_affinity_reaches_no_other_namespace(self):
        term = {"labelSelector": {}, "topologyKey": "zone", "namespaces": ["other"]}
        rule = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        (message,) = mistakes_in_pods(affinity={"podAffinity": rule})
        assert "namespaces: unknown field" in message

    def test_an_operator_without_its_values_is_refused(self):
        terms = [{"matchExpressions": [{"key": "gpu", "operator": "In"}]}]
        rule = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        (message,) = mistakes_in_pods(affinity={"nodeAffinity": rule})
        assert "values: In takes at least one value" in message


@pytest.mark.parametrize("name", sorted(REFUSED_POD_FIELDS))
@pytest.mark.parametrize("block", ["pods", "prepare", "master", "workers", "evaluate"])
def test_what_reaches_the_host_or_the_cluster_cannot_be_set_in_any_block(block, name):
    (message,) = mistakes_in(changed({f"spec.{block}.{name}": "x"}))
    reason = REFUSED_POD_FIELDS[name]
    assert message == str(Mistake(f"spec.{block}.{name}", "", "cannot be set", reason))


@pytest.mark.parametrize(
    "image",
    [
        "lmtrainer",
        "example.org/lmtrainer:0.1.0",
        "localhost:5000/a/b_c/d:v1",
        "ghcr.io/x/y@sha256:" + "a" * 64,
        "x:1@sha256:" + "0" * 64,
    ],
)
def test_images_are_accepted(image):
    assert spec_of({"spec.image": image}).image == image


@pytest.mark.parametrize("image", ["", " ", "A/b", "a:", "a b", "a\n", "-a", "a@sha256:1", "a//b"])
def test_what_is_no_image_is_refused(image):
    (message,) = mistakes_in(changed({"spec.image": image}))
    assert message.startswith("spec.image: is not an image reference")


def test_shared_memory_must_be_some():
    (message,) = mistakes_in_pods(sharedMemory="0Gi")
    assert message.startswith("spec.pods.sharedMemory: must be > 0 (got 0Gi)")
