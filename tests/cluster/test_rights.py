"""The operator's rights are exactly what it uses: granted verbs beside the audit log."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmjob.api.names import LABEL_ROLE, PLURAL, replica_name, service_name
from lmtrainer.contract.exits import ExitType
from tests.cluster.harness.access import read_access
from tests.cluster.harness.api import Api
from tests.cluster.harness.clusters import Cluster, own_cluster
from tests.cluster.harness.history import condition
from tests.cluster.harness.jobs import claim, job, restricted
from tests.cluster.harness.kubelet import Kubelet
from tests.cluster.harness.loop import Loop
from tests.cluster.harness.operators import Operator, Program, settings
from tests.cluster.harness.scripts import Script, play

ROOT = Path(__file__).parents[2]
HOME, ACCOUNT = "lmjob-system", "lmjob-operator"
USER = f"system:serviceaccount:{HOME}:{ACCOUNT}"
POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}

Right = tuple[str, str, str]
"""API group, resource, verb."""


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Cluster]:
    tool = os.environ.get("LMJOB_CLUSTER_TOOL", "")
    if not tool:
        pytest.skip("needs a cluster of its own: set LMJOB_CLUSTER_TOOL to the tool that makes one")
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump(POLICY))
    flags = (f"--audit-policy-file={policy}", f"--audit-log-path={tmp_path / 'audit.log'}")
    with own_cluster(Path(tool), f"rights-{os.getpid()}", *flags) as cluster:
        yield cluster


def documents(*names: str) -> Iterator[Any]:
    for name in names:
        yield from yaml.safe_load_all((ROOT / "manifests/base" / name).read_text())


def granted() -> set[Right]:
    rules = [
        rule
        for body in documents("rbac.yaml")
        if body["kind"] in ("Role", "ClusterRole")
        for rule in body["rules"]
    ]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(log: Path) -> set[Right]:
    """By the operator's account, allowed or not; asking what kinds there are needs no right."""
    found = set()
    for line in log.read_text().splitlines():
        event = json.loads(line)
        what = event.get("objectRef")
        if event["user"]["username"] == USER and what:
            part = f"/{what['subresource']}" if "subresource" in what else ""
            found.add((what.get("apiGroup", ""), what["resource"] + part, event["verb"]))
    return found


def install(api: Api, tmp_path: Path) -> Path:
    """The account with its rights, and nothing else; its kubeconfig."""
    api.create("namespaces", "", restricted(HOME))
    for body in documents("rbac.yaml"):
        home = "/api/v1" if body["apiVersion"] == "v1" else f"/apis/{body['apiVersion']}"
        namespace = body["metadata"].get("namespace")
        place = f"/namespaces/{namespace}" if namespace else ""
        api.must("POST", f"{home}{place}/{body['kind'].lower()}s", body)
    path = f"/api/v1/namespaces/{HOME}/serviceaccounts/{ACCOUNT}/token"
    answer = api.must("POST", path, {"spec": {"expirationSeconds": 3600}})
    admin = yaml.safe_load(api.access.kubeconfig.read_text())
    admin["users"][0]["user"] = {"token": answer["status"]["token"]}
    own = tmp_path / "operator.kubeconfig"
    own.write_text(yaml.safe_dump(admin))
    return own


def ready_reason(api: Api, name: str) -> str:
    found = api.get(PLURAL, "team", name).get("status", {}).get("conditions", [])
    return next((c["reason"] for c in found if c["type"] == "Ready"), "")


def wait_complete(api: Api, name: str) -> None:
    def done() -> bool:
        return condition(api.get(PLURAL, "team", name), "Complete") == "True"

    api.wait(done, seconds=40, what=f"{name} is complete")


def live_through_everything(api: Api, operator: Operator) -> None:
    """A job with a fault and a dead node, an impostor of its pod, a restart of the operator."""
    body = api.create(PLURAL, "team", job("first", suspend=True))
    name = replica_name("first", body["metadata"]["uid"], 1, "prepare", 0)
    impostor = {
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": "trainer", "image": "x", "securityContext": LOCKED}],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "nodeName": "nowhere",
        },
    }
    api.create("pods", "team", impostor)
    api.create("services", "team", own_service(body))
    api.patch(PLURAL, "team", "first", {"spec": {"suspend": False}})
    api.wait(lambda: ready_reason(api, "first") == "PodRefused", what="the impostor is told of")
    api.delete("pods", "team", name, gracePeriodSeconds=0)
    api.wait(lambda: ready_reason(api, "first") != "PodRefused", what="the job goes on")
    workers = f"{LABEL_ROLE}=worker"
    api.wait(lambda: api.list("pods", "team", labels=workers), what="the group is there")
    operator.kill_and_start()
    wait_complete(api, "first")


def own_service(body: dict[str, Any]) -> dict[str, Any]:
    """The service as an operator that was killed at once had left it."""
    meta = body["metadata"]
    owner = {key: body[key] for key in ("apiVersion", "kind")}
    owner |= {key: meta[key] for key in ("name", "uid")}
    name = service_name(meta["name"], meta["uid"])
    return {
        "metadata": {"name": name, "ownerReferences": [owner]},
        "spec": {"clusterIP": "None", "ports": [{"port": 29500}]},
    }


LOCKED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_rights_that_are_granted_are_those_that_are_used(
    audited: Cluster, tmp_path: Path
) -> None:
    with closing(Api(audited.access)) as api, closing(Program()) as program:
        api.apply_file(ROOT / "manifests/crd/lmtrainingjobs.yaml")
        kubeconfig = install(api, tmp_path)
        api.create("namespaces", "", restricted("team"))
        volume, claimed = claim("team")
        api.create("persistentvolumes", "", volume)
        api.create("persistentvolumeclaims", "team", claimed)
        kubelet, loop = Kubelet(read_access(audited.access.kubeconfig)), Loop()
        kubelet.plays["team"] = play(
            {
                ("worker", 1, 1): Script(exit_type=ExitType.KILLED),
                ("worker", 0, 1): Script(runs=None, ends_after=None),
            }
        )
        loop.start_task(kubelet.run())
        own = {"LMJOB_NAMESPACES": "", "LMJOB_LEASE_NAMESPACE": HOME, "LMJOB_IDENTITY": "op"}
        operator = Operator(program, settings("team", kubeconfig, **own), tmp_path / "op.log")
        try:
            operator.start()
            live_through_everything(api, operator)
        finally:
            operator.stop()
            loop.close()
    assert used(tmp_path / "audit.log") == granted(), operator.said()
