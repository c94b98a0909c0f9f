"""The kustomization installs what the chart installs."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import lmjob
from tests.lmjob.packaging import (
    NAMESPACE,
    ROOT,
    Object,
    kustomize,
    needs_helm,
    needs_kubectl,
    template,
)

BASE = ROOT / "manifests" / "base"

OF_HELM = ("app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart")


def without_helm(one: Object) -> Object:
    """Without the labels and the annotation that only Helm has a use for."""
    plain = copy.deepcopy(one)
    for label in OF_HELM:
        del plain["metadata"]["labels"][label]
    if plain["kind"] == "CustomResourceDefinition":
        del plain["metadata"]["annotations"]
    return plain


@needs_helm
@needs_kubectl
def test_the_kustomization_equals_the_chart_object_by_object() -> None:
    found, chart = kustomize(BASE), template(crd=True)
    namespace = found.pop(("Namespace", "", NAMESPACE))
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    assert enforced.items() <= namespace["metadata"]["labels"].items()
    assert found.keys() == chart.keys()
    for key in chart:
        assert found[key] == without_helm(chart[key]), key


@needs_kubectl
def test_an_overlay_changes_image_replicas_and_namespace(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "namespace: training\n"
        f"resources: [{os.path.relpath(BASE, tmp_path.resolve())}]\n"
        "images: [{name: lmjob-operator, newName: team/operator, newTag: '2'}]\n"
        "replicas: [{name: lmjob-operator, count: 3}]\n"
    )
    found = kustomize(tmp_path)
    deployment = found["Deployment", "training", "lmjob-operator"]
    assert deployment["spec"]["replicas"] == 3
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "team/operator:2"
    binding = found["ClusterRoleBinding", "", "lmjob-operator"]
    assert binding["subjects"][0]["namespace"] == "training"


@needs_kubectl
def test_the_label_of_the_version_is_the_packages() -> None:
    label = "app.kubernetes.io/version"
    assert {one["metadata"]["labels"][label] for one in kustomize(BASE).values()} == {
        lmjob.__version__
    }
