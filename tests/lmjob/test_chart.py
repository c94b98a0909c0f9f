"""The Helm chart: what it installs, what it refuses, and which rights it gives."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import lmjob
from lmjob.api import names
from lmjob.kube.settings import Settings, read_settings
from tests.lmjob.packaging import (
    CHART,
    CRD,
    LOADER,
    NAMESPACE,
    Object,
    call,
    leaves,
    needs_helm,
    of_kind,
    template,
    variables,
)

RIGHTS = {
    ("lmtraining.dev", "lmtrainingjobs"): {"get", "list", "watch"},
    ("lmtraining.dev", "lmtrainingjobs/status"): {"update"},
    ("", "pods"): {"get", "list", "watch", "create", "delete"},
    ("", "services"): {"get", "create"},
    ("", "configmaps"): {"get", "create"},
    ("", "persistentvolumeclaims"): {"get"},
    ("", "events"): {"create"},
}
"""Every verb that the operator uses, and none that it does not."""
LEASES = {("coordination.k8s.io", "leases"): {"get", "create", "update"}}


def rights(role: Object) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


@needs_helm
def test_lint_finds_nothing() -> None:
    done = call("helm", "lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 chart(s) failed" in done.stdout


@needs_helm
@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("replica=3", "replica"),
        ("image.repo=somewhere", "repo"),
        ("image.digest=latest", "digest"),
        ("image.repository=", "repository"),
        ("metrics.serviceMonitor.enable=true", "enable"),
        ("replicas=0", "replicas"),
        ("replicas=two", "replicas"),
        ("logLevel=loud", "logLevel"),
        ("watchNamespaces={Team_A}", "watchNamespaces"),
        ("watchNamespaces=team-a", "watchNamespaces"),
        ("trainerImage=", "trainerImage"),
        ("leaseSeconds=0", "leaseSeconds"),
        ("resources.limits.memory=lots", "memory"),
        ("resources.claims=x", "claims"),
        ("tolerations[0].keys=gpu", "keys"),
        ("crd.install=yes please", "install"),
        ("nodeSelector.gpu=true", "nodeSelector"),
    ],
)
def test_a_value_that_is_unknown_or_wrong_is_refused_by_its_name(setting: str, named: str) -> None:
    done = call("helm", "template", str(CHART), "--set", setting)
    assert done.returncode != 0
    assert named in done.stderr
    assert "values don't meet the specifications of the schema" in done.stderr


def test_the_schema_is_closed_everywhere() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    open_ones = [
        place
        for place, one in _objects(schema, "")
        if one.get("additionalProperties", True) is True
    ]
    assert open_ones == ["/properties/global"]


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)


# Each value of the chart and another one for it.
OTHER_VALUES = {
    "image.repository": "team/lmjob-operator",
    "image.tag": "0.9.9",
    "image.digest": "sha256:" + "0" * 64,
    "image.pullPolicy": "Always",
    "imagePullSecrets": "{team}",
    "trainerImage": "team/lmtrainer:9",
    "replicas": "3",
    "watchNamespaces": "{team-a}",
    "leaseSeconds": "5",
    "resyncSeconds": "60",
    "concurrency": "8",
    "logLevel": "debug",
    "crd.install": "false",
    "serviceAccount.annotations": {"team": "a"},
    "podDisruptionBudget.enabled": "false",
    "metrics.service": "true",
    "metrics.serviceMonitor.enabled": "true",
    "metrics.serviceMonitor.interval": "10s",
    "metrics.serviceMonitor.labels": {"team": "a"},
    "resources.requests.cpu": "1",
    "resources.requests.memory": "1Gi",
    "resources.limits.memory": "2Gi",
    "podLabels": {"team": "a"},
    "podAnnotations": {"team": "a"},
    "nodeSelector": {"team": "a"},
    "tolerations": [{"key": "team", "operator": "Exists"}],
    "priorityClassName": "high",
}


def test_no_value_is_left_out_below() -> None:
    assert set(leaves(yaml.safe_load((CHART / "values.yaml").read_text()))) == set(OTHER_VALUES)


@needs_helm
@pytest.mark.parametrize("name", OTHER_VALUES)
def test_every_value_has_an_effect(name: str) -> None:
    other = OTHER_VALUES[name]
    monitor = ["--set", "metrics.serviceMonitor.enabled=true"] if "serviceMonitor." in name else []
    base = monitor if not name.endswith("enabled") else []
    how = "--set" if isinstance(other, str) else "--set-json"
    value = other if isinstance(other, str) else json.dumps(other)
    crd = name == "crd.install"
    assert template(*base, crd=crd) != template(*base, how, f"{name}={value}", crd=crd)


@needs_helm
def test_the_defaults_are_those_of_the_operator() -> None:
    (deployment,) = of_kind(template(), "Deployment")
    found = read_settings({**variables(deployment), "LMJOB_IDENTITY": "one"})
    assert found == Settings(identity="one")


@needs_helm
def test_values_reach_the_settings_of_the_operator() -> None:
    options = "resyncSeconds=7,concurrency=3,logLevel=error,trainerImage=a/b:1"
    more = ("--set-json", "leaseSeconds=2.5", "--set", "watchNamespaces={team-a,team-b}")
    (deployment,) = of_kind(template("--set", options, *more), "Deployment")
    found = read_settings({**variables(deployment), "LMJOB_IDENTITY": "one"})
    assert found == Settings(
        identity="one",
        lease_seconds=2.5,
        resync_seconds=7.0,
        concurrency=3,
        log_level="error",
        trainer_image="a/b:1",
        namespaces=("team-a", "team-b"),
    )


@needs_helm
def test_identity_and_place_of_the_lease_are_the_pods_own() -> None:
    (deployment,) = of_kind(template(), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    own = {e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in container["env"][:2]}
    assert own == {
        "LMJOB_IDENTITY": "metadata.name",
        "LMJOB_LEASE_NAMESPACE": "metadata.namespace",
    }


@needs_helm
def test_versions_are_those_of_the_packages() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == lmjob.__version__
    (deployment,) = of_kind(template(), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"lmjob-operator:{lmjob.__version__}"
    assert variables(deployment)["LMJOB_TRAINER_IMAGE"] == names.DEFAULT_TRAINER_IMAGE


@needs_helm
def test_the_operator_may_do_what_it_does_and_nothing_else() -> None:
    objects = template()
    (cluster_role,) = of_kind(objects, "ClusterRole")
    (role,) = of_kind(objects, "Role")
    assert rights(cluster_role) == RIGHTS
    assert rights(role) == LEASES
    assert role["metadata"]["namespace"] == NAMESPACE
    named = [rule for rule in role["rules"] if rule["verbs"] != ["create"]]
    assert [rule["resourceNames"] for rule in named] == [[Settings.lease_name]]


@needs_helm
def test_with_namespaces_there_is_a_role_in_each_and_none_for_the_cluster() -> None:
    objects = template("--set", "watchNamespaces={team-a,team-b}")
    assert not of_kind(objects, "ClusterRole") + of_kind(objects, "ClusterRoleBinding")
    for namespace in ("team-a", "team-b"):
        assert rights(objects["Role", namespace, "lmjob-operator"]) == RIGHTS
        binding = objects["RoleBinding", namespace, "lmjob-operator"]
        assert binding["roleRef"]["kind"] == "Role"
        assert binding["subjects"][0]["namespace"] == NAMESPACE
    assert rights(objects["Role", NAMESPACE, "lmjob-operator-lease"]) == LEASES


@needs_helm
def test_the_operator_meets_the_restricted_level() -> None:
    (deployment,) = of_kind(template(), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {name for volume in spec["volumes"] for name in volume} == {"name", "emptyDir"}


@needs_helm
def test_the_definition_is_the_one_of_the_manifests_and_stays() -> None:
    (found,) = of_kind(template(crd=True), "CustomResourceDefinition")
    written = yaml.load(CRD.read_text(), LOADER)
    assert found["spec"] == written["spec"]
    assert found["metadata"]["name"] == written["metadata"]["name"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_charts_copy_of_the_definition_is_equal_byte_by_byte() -> None:
    copy = CHART / "files" / CRD.name
    assert copy.read_bytes() == CRD.read_bytes(), "run `make crd`"


@needs_helm
def test_a_packaged_chart_is_the_same_chart(tmp_path: Path) -> None:
    assert call("helm", "package", str(CHART), "--destination", str(tmp_path)).returncode == 0
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        assert f"lmjob-operator/files/{CRD.name}" in archive.getnames()
    assert template(chart=package, crd=True) == template(crd=True)


@needs_helm
def test_it_can_be_part_of_another_chart(tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / "lmjob-operator")
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: platform\nversion: 1.0.0\n")
    (tmp_path / "values.yaml").write_text("global: {team: a}\nlmjob-operator: {replicas: 3}\n")
    (deployment,) = of_kind(template(chart=tmp_path), "Deployment")
    assert deployment["spec"]["replicas"] == 3


@needs_helm
def test_a_single_replica_can_be_drained() -> None:
    assert of_kind(template(), "PodDisruptionBudget")
    assert not of_kind(template("--set", "replicas=1"), "PodDisruptionBudget")


@needs_helm
def test_everything_lies_in_the_namespace_of_the_release() -> None:
    for kind, namespace, _ in template("--set", "metrics.serviceMonitor.enabled=true"):
        cluster_wide = ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding")
        assert namespace == ("" if kind in cluster_wide else NAMESPACE)
        assert kind != "Namespace"


@needs_helm
def test_services_and_budget_select_the_operators_pods() -> None:
    objects = template("--set", "metrics.serviceMonitor.enabled=true")
    (deployment,) = of_kind(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    (service,) = of_kind(objects, "Service")
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    (monitor,) = of_kind(objects, "ServiceMonitor")
    assert service["spec"]["selector"].items() <= labels
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    assert chosen <= service["metadata"]["labels"].items()


def _objects(schema: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a JSON schema that describes objects."""
    if isinstance(schema, list):
        for index, one in enumerate(schema):
            yield from _objects(one, f"{place}/{index}")
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        yield place, schema
    for name, one in schema.items():
        yield from _objects(one, f"{place}/{name}")
