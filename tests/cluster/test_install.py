"""Install, upgrade and uninstall on a real API server: jobs and their definition are left alone.

On an API server of the tests' own, whose pods have no node: what is looked at is what is installed,
not what it does (`test_real_job`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmjob.api.names import LABEL_UID, PLURAL
from tests.cluster.harness.access import read_access
from tests.cluster.harness.api import Api
from tests.cluster.harness.clusters import own_cluster
from tests.cluster.harness.jobs import job, restricted

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "lmjob-operator"
HOME, NAME = "lmjob-system", "lmjob-operator"
ACCOUNT = f"system:serviceaccount:{HOME}:{NAME}"
DEFINITION = "lmtrainingjobs.lmtraining.dev"


class Tools:
    """helm and kubectl on the cluster of this file."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._env = {**os.environ, "KUBECONFIG": str(api.access.kubeconfig)}

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=self._env, capture_output=True, text=True, check=False, timeout=90
        )

    def must(self, *command: str) -> str:
        done = self.call(*command)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
        return done.stdout

    def install(self, *options: str, chart: Path = CHART, release: str = "lmjob") -> None:
        self.must("helm", "upgrade", "--install", release, str(chart), "-n", HOME, *options)

    def uninstall(self) -> None:
        self.must("helm", "uninstall", "lmjob", "-n", HOME, "--ignore-not-found")

    def get(self, *words: str) -> Any:
        found = self.must("kubectl", "get", *words, "--ignore-not-found", "-o", "json")
        return json.loads(found) if found else None

    def may(self, *words: str) -> bool:
        return self.call("kubectl", "auth", "can-i", *words, f"--as={ACCOUNT}").stdout == "yes\n"

    def will_be_allowed(self, *words: str) -> None:
        """The server learns of a new right, and kubectl of a new kind, within seconds."""
        deadline = time.monotonic() + 15.0
        while not self.may(*words):
            assert time.monotonic() < deadline, words
            time.sleep(0.5)


@pytest.fixture(scope="module")
def own_api() -> Iterator[Api]:
    tool = os.environ.get("LMJOB_CLUSTER_TOOL", "")
    if not tool:
        pytest.skip("needs a cluster of its own: set LMJOB_CLUSTER_TOOL to the tool that makes one")
    for program in ("helm", "kubectl"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} on the PATH")
    with (
        own_cluster(Path(tool), f"install-{os.getpid()}") as cluster,
        closing(Api(read_access(cluster.access.kubeconfig))) as api,
    ):
        for name in (HOME, "team-a", "team-b"):
            api.create("namespaces", "", restricted(name))
        yield api


@pytest.fixture
def tools(own_api: Api) -> Iterator[Tools]:
    """Nothing is installed, at the beginning and at the end."""
    found = Tools(own_api)
    yield found
    found.uninstall()
    own_api.delete("pods", "team-a", "first-pod")  # the collector would learn of its owner late
    found.must("kubectl", "delete", "crd", DEFINITION, "--ignore-not-found")


def a_job_with_a_pod(tools: Tools) -> tuple[str, str]:
    """A job and a pod that it owns; their uids."""
    tools.api.wait(lambda: _served(tools), what="the definition is served")
    made = tools.api.create(PLURAL, "team-a", job("first", suspend=True))
    owner = {key: made[key] for key in ("apiVersion", "kind")}
    owner |= {"name": "first", "uid": made["metadata"]["uid"], "controller": True}
    meta = {"name": "first-pod", "labels": {LABEL_UID: owner["uid"]}, "ownerReferences": [owner]}
    locked = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "trainer", "image": "x", "securityContext": locked}],
    }
    pod = tools.api.create("pods", "team-a", {"metadata": meta, "spec": spec})
    return owner["uid"], pod["metadata"]["uid"]


def _served(tools: Tools) -> bool:
    return tools.call("kubectl", "get", "lmj", "-A").returncode == 0


def uids(tools: Tools) -> tuple[str, str]:
    job_, pod = (
        tools.get("lmj", "first", "-n", "team-a"),
        tools.api.get("pods", "team-a", "first-pod"),
    )
    return job_["metadata"]["uid"], pod["metadata"]["uid"]


def test_both_replicas_are_admitted_at_the_restricted_level(tools: Tools) -> None:
    tools.install()
    label = f"app.kubernetes.io/name={NAME}"
    tools.api.wait(lambda: len(tools.api.list("pods", HOME, labels=label)) == 2, what="two pods")


def test_an_upgrade_leaves_jobs_alone_and_takes_the_definition_along(
    tools: Tools, tmp_path: Path
) -> None:
    tools.install()
    before = a_job_with_a_pod(tools)
    newer = tmp_path / "lmjob-operator"
    shutil.copytree(CHART, newer)
    written = newer / "files" / "lmtrainingjobs.yaml"
    definition = yaml.safe_load(written.read_text())
    column = {"name": "Newer", "type": "string", "jsonPath": ".status.stage"}
    definition["spec"]["versions"][0]["additionalPrinterColumns"].append(column)
    written.write_text(yaml.safe_dump(definition))
    tools.install("--set", "replicas=3", chart=newer)
    assert uids(tools) == before
    assert tools.get("deployment", NAME, "-n", HOME)["spec"]["replicas"] == 3
    heads = tools.must("kubectl", "get", "lmj", "-n", "team-a").splitlines()[0]
    assert "NEWER" in heads


def test_uninstalling_leaves_definition_jobs_and_pods(tools: Tools) -> None:
    tools.install()
    before = a_job_with_a_pod(tools)
    tools.uninstall()
    assert uids(tools) == before
    assert tools.get("crd", DEFINITION)
    for kind in ("deployment", "serviceaccount", "role", "rolebinding", "pdb"):
        assert tools.get(kind, NAME, "-n", HOME) is None
    for kind in ("clusterrole", "clusterrolebinding"):
        assert tools.get(kind, NAME) is None
    tools.install()
    assert uids(tools) == before


def test_another_release_does_not_take_the_definition_over(tools: Tools) -> None:
    tools.install()
    tools.uninstall()
    done = tools.call("helm", "install", "other", str(CHART), "-n", HOME)
    assert done.returncode != 0
    assert DEFINITION in done.stderr
    tools.install("--set", "crd.install=false")


def test_the_operator_may_do_what_it_needs_in_the_whole_cluster(tools: Tools) -> None:
    tools.install()
    tools.will_be_allowed("delete", "pods", "-n", "team-b")
    tools.will_be_allowed("create", "events", "-n", "team-b")
    tools.will_be_allowed("update", DEFINITION, "--subresource=status", "-n", "team-b")
    tools.will_be_allowed("update", f"leases/{NAME}", "-n", HOME)
    assert not tools.may("get", "secrets", "-n", "team-b")
    assert not tools.may("update", DEFINITION, "-n", "team-b")
    assert not tools.may("create", "pods", "--subresource=exec", "-n", "team-b")
    assert not tools.may("update", "leases/another", "-n", HOME)
    assert not tools.may("create", "leases", "-n", "team-b")


def test_with_namespaces_it_may_do_nothing_elsewhere(tools: Tools) -> None:
    tools.install("--set", "watchNamespaces={team-a}")
    tools.will_be_allowed("create", "pods", "-n", "team-a")
    tools.will_be_allowed("watch", DEFINITION, "-n", "team-a")
    assert not tools.may("create", "pods", "-n", "team-b")
    assert not tools.may("list", DEFINITION, "--all-namespaces")


def test_kustomize_installs_it_again_and_again(tools: Tools) -> None:
    base = str(ROOT / "manifests" / "base")
    try:
        tools.must("kubectl", "apply", "-k", base)
        before = a_job_with_a_pod(tools)
        assert tools.must("kubectl", "diff", "-k", base) == ""
        tools.must("kubectl", "apply", "-k", base)
        assert uids(tools) == before
    finally:
        for name in ("rbac.yaml", "operator.yaml"):
            tools.must("kubectl", "delete", "--ignore-not-found", "-f", f"{base}/{name}")
