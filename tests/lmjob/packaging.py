"""What Helm and kustomize make of the packaging, as plain objects."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "lmjob-operator"
CRD = ROOT / "manifests" / "crd" / "lmtrainingjobs.yaml"

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RELEASE = "lmjob"
NAMESPACE = "lmjob-system"

needs_helm = pytest.mark.skipif(
    shutil.which("helm") is None, reason="helm is not on PATH; put Helm 3.14 or newer there"
)
needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl is not on PATH; put 1.29 or newer there"
)

Object = dict[str, Any]
Key = tuple[str, str, str]
"""Kind, namespace ("" if there is none) and name."""


def call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@functools.cache
def template(*options: str, chart: Path = CHART, crd: bool = False) -> dict[Key, Object]:
    """The objects of a release, not to be changed; the definition, which takes long to read, only
    where it is asked for."""
    given = options if crd else (*_without_crd(chart), *options)
    done = call("helm", "template", RELEASE, str(chart), "--namespace", NAMESPACE, *given)
    assert done.returncode == 0, done.stderr
    return by_key(done.stdout)


def _without_crd(chart: Path) -> tuple[str, str]:
    inner = "" if "lmjob-operator" in chart.name else "lmjob-operator."
    return "--set", f"{inner}crd.install=false"


def kustomize(folder: Path) -> dict[Key, Object]:
    """The objects of a kustomization."""
    done = call("kubectl", "kustomize", str(folder))
    assert done.returncode == 0, done.stderr
    return by_key(done.stdout)


def by_key(text: str) -> dict[Key, Object]:
    found = [document for document in yaml.load_all(text, LOADER) if document]
    objects = {key_of(one): one for one in found}
    assert len(objects) == len(found), "two objects of one name"
    return objects


def key_of(one: Object) -> Key:
    meta = one["metadata"]
    return one["kind"], meta.get("namespace", ""), meta["name"]


def of_kind(objects: dict[Key, Object], kind: str) -> list[Object]:
    return [one for key, one in objects.items() if key[0] == kind]


def variables(deployment: Object) -> dict[str, str]:
    """The plain variables of the operator's container."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def leaves(values: Any, path: str = "") -> Iterator[str]:
    """Dotted names of the values of a chart; an empty map is one, too."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from leaves(value, f"{path}.{name}" if path else name)
        return
    yield path
