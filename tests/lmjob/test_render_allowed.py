"""The closed list: an object with anything that no object of a job has is never sent."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from lmjob.render import NotAllowedError, config_map, service
from lmjob.render.allowed import check
from tests.lmjob.rendered import plan_with, pods_of

SECRET = {"secretKeyRef": {"name": "x", "key": "y"}}
SPEC = "spec.containers[0]"


def put(found: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(found)
    *steps, last = re.findall(r"[^.\[\]]+", path)
    place: Any = changed
    for step in steps:
        place = place[int(step)] if step.isdigit() else place[step]
    if isinstance(place, list):
        place.insert(int(last), value)
    else:
        place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.hostNetwork", True),
        ("spec.hostPID", True),
        ("spec.hostIPC", True),
        ("spec.hostUsers", True),
        ("spec.serviceAccountName", "cluster-admin-sa"),
        ("spec.automountServiceAccountToken", True),
        ("spec.nodeName", "node-1"),
        ("spec.restartPolicy", "Always"),
        ("spec.shareProcessNamespace", True),
        ("spec.initContainers", [{"name": "x", "image": "x"}]),
        ("spec.ephemeralContainers", []),
        ("spec.containers[1]", {"name": "x", "image": "x"}),
        ("spec.securityContext.runAsNonRoot", False),
        ("spec.securityContext.runAsNonRoot", 1),
        ("spec.securityContext.runAsUser", 0),
        ("spec.securityContext.seccompProfile", {"type": "Unconfined"}),
        ("spec.securityContext.sysctls", [{"name": "x", "value": "1"}]),
        ("spec.volumes[0]", {"name": "x", "hostPath": {"path": "/"}}),
        ("spec.volumes[0]", {"name": "x", "secret": {"secretName": "x"}}),
        ("spec.volumes[0]", {"name": "x", "projected": {"sources": []}}),
        ("spec.volumes[0]", {"name": "x"}),
        ("spec.volumes[0]", {"name": "x", "emptyDir": {}, "hostPath": {"path": "/"}}),
        ("spec.hostAliases[0].ip", "kubernetes.default"),
        (
            "spec.affinity",
            {
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"labelSelector": {}, "topologyKey": "x", "namespaces": ["other"]}
                    ]
                }
            },
        ),
        (f"{SPEC}.securityContext.privileged", True),
        (f"{SPEC}.securityContext.allowPrivilegeEscalation", True),
        (f"{SPEC}.securityContext.readOnlyRootFilesystem", False),
        (f"{SPEC}.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        (f"{SPEC}.securityContext.procMount", "Unmasked"),
        (f"{SPEC}.command", ["sh", "-c", "lmtrainer"]),
        (f"{SPEC}.args[0]", "$(HF_TOKEN)"),
        (f"{SPEC}.image", ""),
        (f"{SPEC}.lifecycle", {}),
        (f"{SPEC}.envFrom", [{"secretRef": {"name": "x"}}]),
        (f"{SPEC}.env[0]", {"name": "X", "value": "$$$(HF_TOKEN)"}),
        (f"{SPEC}.env[0]", {"name": "X", "valueFrom": {"secretKeyRef": {}}}),
        (f"{SPEC}.env[0]", {"name": "X", "value": "x", "valueFrom": SECRET}),
        (f"{SPEC}.env[0]", {"name": "X", "valueFrom": {**SECRET, "fieldRef": {}}}),
        (f"{SPEC}.env[0]", {"name": "LD_PRELOAD", "valueFrom": SECRET}),
        (f"{SPEC}.env[0]", {"name": "X"}),
        (f"{SPEC}.env[0]", {"name": "LD_PRELOAD", "value": "/x.so"}),
        (f"{SPEC}.env[0]", {"name": "", "value": "x"}),
        (f"{SPEC}.volumeMounts[0]", {"name": "tmp", "mountPath": "/mnt/claims/.."}),
        (f"{SPEC}.volumeMounts[0]", {"name": "tmp", "mountPath": "/etc"}),
        (f"{SPEC}.volumeMounts[0]", {"name": "tmp", "mountPath": "/tmp", "subPath": "x"}),
        (f"{SPEC}.ports[0].hostPort", 80),
        (f"{SPEC}.readinessProbe.httpGet.host", "169.254.169.254"),
        (f"{SPEC}.livenessProbe.exec", {"command": ["x"]}),
        (f"{SPEC}.resources.claims", [{"name": "x"}]),
        (f"{SPEC}.resources.limits", {"memory": {"x": "y"}}),
        ("metadata.finalizers", ["x"]),
        ("metadata.ownerReferences[0]", {"kind": "Node"}),
        ("metadata.ownerReferences[0].blockOwnerDeletion", True),
        ("metadata.annotations", {"container.apparmor.security.beta.kubernetes.io/x": "y"}),
        ("metadata.labels", {"x": 1}),
        ("kind", "Secret"),
        ("apiVersion", "v2"),
        ("status", {}),
    ],
)
def test_nothing_beyond_the_closed_list_is_in_a_pod(path, value):
    found = pods_of(plan_with())["master-0"]
    assert check(found) is found
    with pytest.raises(NotAllowedError):
        check(put(found, path, value))


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("place", ["spec.containers", "metadata.ownerReferences"])
def test_a_pod_has_one_container_and_one_owner(place, count):
    found = pods_of(plan_with())["master-0"]
    part, field = place.split(".")
    with pytest.raises(NotAllowedError, match="must have exactly one item"):
        check(put(found, place, found[part][field] * count))


@pytest.mark.parametrize(
    "path",
    [
        "spec.automountServiceAccountToken",
        "spec.restartPolicy",
        "spec.securityContext",
        "spec.securityContext.runAsNonRoot",
        "spec.securityContext.seccompProfile",
        f"{SPEC}.securityContext",
        f"{SPEC}.securityContext.capabilities",
        f"{SPEC}.securityContext.allowPrivilegeEscalation",
        "metadata.ownerReferences",
    ],
)
def test_what_protects_must_be_there(path):
    found = copy.deepcopy(pods_of(plan_with())["master-0"])
    *steps, last = re.findall(r"[^.\[\]]+", path)
    place: Any = found
    for step in steps:
        place = place[int(step)] if step.isdigit() else place[step]
    del place[last]
    with pytest.raises(NotAllowedError, match=f"must have {last}"):
        check(found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.type", "LoadBalancer"),
        ("spec.clusterIP", "10.0.0.1"),
        ("spec.externalName", "example.org"),
        ("spec.externalIPs", ["192.0.2.1"]),
        ("spec.selector", {"app": "other"}),
        ("spec.ports[0].nodePort", 30000),
    ],
)
def test_nothing_beyond_the_closed_list_is_in_a_service(path, value):
    with pytest.raises(NotAllowedError):
        check(put(service(plan_with()), path, value))


@pytest.mark.parametrize(
    ("path", "value"), [("immutable", False), ("data.x", "y"), ("binaryData", {})]
)
def test_nothing_beyond_the_closed_list_is_in_a_config_map(path, value):
    with pytest.raises(NotAllowedError):
        check(put(config_map(plan_with()), path, value))


def test_the_field_and_the_rule_are_named():
    found = put(pods_of(plan_with())["worker-0"], "spec.hostNetwork", True)
    with pytest.raises(NotAllowedError, match=r"^Pod\.spec\.hostNetwork: true is a field that is"):
        check(found)
