"""The definition on a real API server: what it takes, refuses, keeps and freezes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lmjob.api.names import PLURAL
from lmjob.api.spec import JobSpec, parse_job
from lmjob.core.plan import Facts, plan_job
from lmjob.crd.jobrules import EDITABLE
from lmtrainer.config.schema import fields
from tests.cluster.harness.api import Api, path_of
from tests.lmjob.bodies import changed
from tests.lmjob.every_field import VALID, every_status

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "manifests/examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path) -> Any:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("needs kubectl on the PATH")

    def run(*arguments: str) -> str:
        command = [program, "--kubeconfig", str(kubeconfig), *arguments]
        return subprocess.run(command, text=True, capture_output=True, check=True).stdout

    return run


# --- what is taken -----------------------------------------------------------------------------


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_taken_by_kubectl(example, kubectl, namespace):
    assert "created" in kubectl("create", "-n", namespace, "--dry-run=server", "-f", str(example))
    assert "created" in kubectl("apply", "-n", namespace, "--dry-run=server", "-f", str(example))


@pytest.mark.parametrize("name", VALID)
def test_every_field_is_taken_and_kept(name, api):
    query = "?dryRun=All&fieldValidation=Strict"
    kept = api.must("POST", path_of(PLURAL, "default") + query, VALID[name])
    assert kept["spec"] == VALID[name]["spec"]


def test_kubectl_apply_takes_the_definition_itself(kubectl):
    """Client-side apply keeps all of it in an annotation, which has a bound."""
    answer = kubectl("apply", "-f", str(ROOT / "manifests/crd/lmtrainingjobs.yaml"))
    assert re.search("configured|created|unchanged", answer)


HEADS = ["NAME", "STATUS", "STAGE", "PHASE", "STEP", "LOSS", "ETA", "RESTARTS", "AGE"]


def test_a_status_is_kept_whole_and_shown_in_columns(api, namespace, kubectl):
    body = changed({"metadata.name": "told", "spec.suspend": True})
    api.create(PLURAL, namespace, body)
    status = every_status(plan_job(parse_job(body), uid="u", facts=Facts()))
    status["memory"] = {**status["memory"], "ofANewerVersion": {"a": 1}}
    stored = api.patch(PLURAL, namespace, "told", {"status": status}, "status")["status"]
    assert stored == status
    heads, row = kubectl("get", "lmj", "-n", namespace).splitlines()
    assert heads.split() == HEADS
    assert row.split()[:8] == ["told", "Finished", "train", "main", "55", "4.5", "1m1s", "1"]
    wide = kubectl("get", "lmj", "-n", namespace, "-o", "wide").splitlines()[1].split()
    assert wide[9:11] == ["1234.5", "2"]


def test_kubectl_explain_tells_about_nested_fields(kubectl):
    answer = kubectl("explain", "lmj.spec.phases.learningRate")
    assert "Peak learning rate. Left out: 0.0001." in answer


# --- what is frozen ----------------------------------------------------------------------------

FINAL = {"attempt": 1, "stage": "train", "outcome": "complete", "outcomeReason": "AllStagesDone"}
"""An operator, if one runs here, leaves such a job alone."""

EDITS = {
    "image": "example.org/other:1",
    "processesPerNode": 1,
    "pods": {},
    "prepare": {"labels": {"a": "b"}},
    "master": {"labels": {"a": "b"}},
    "workers": {"replicas": 1},
    "evaluate": {"everySteps": 5},
    "startup": {"timeoutSeconds": 5},
    "failurePolicy": {"maxRestarts": 5},
    "terminationGracePeriodSeconds": 90,
    "seed": 43,
    "precision": "bf16",
    "threadsPerProcess": 2,
    "data": {"train": ["sample://jargon"]},
    "tokenizer": {"train": {"vocabSize": 500}},
    "model": {"type": "bert", "preset": "mini"},
    "objective": "mlm",
    "masking": {"share": 0.2},
    "phases": [{"name": "main", "steps": 2000}],
    "optimizer": {"weightDecay": 0.5},
    "checkpoint": {"keep": 5},
    "output": {"to": "pvc://results/other"},
    "torchCompile": True,
    "lossScale": {"type": "static", "initial": 1024},
    "gradientCheckpointing": True,
    "divergence": {"maxRollbacks": 2},
    "hangSeconds": 700,
    "parallel": {"strategy": "zero1"},
    "pairs": {"passes": 3},
    "lossChunks": 2,
    "steps": 2000,
}

ALONG = {"steps": {"phases": [{"name": "main", "steps": None, "share": 1}]}}
"""What must change with it."""


@pytest.fixture
def begun(api: Api, namespace: str) -> Any:
    """A job whose first attempt has begun."""
    api.create(PLURAL, namespace, changed({"spec.suspend": True}))
    return api.patch(
        PLURAL, namespace, "good", {"status": {"attempt": 1, "memory": FINAL}}, "status"
    )


def edited(api: Api, namespace: str, spec: Any, query: str = "?dryRun=All") -> tuple[int, Any]:
    path = path_of(PLURAL, namespace, "good") + query
    return api.request("PATCH", path, {"spec": spec}, "application/merge-patch+json")


def test_every_field_but_suspend_is_frozen_once_an_attempt_has_begun(api, namespace, begun):
    assert EDITS.keys() == {f.key for f in fields(JobSpec)} - EDITABLE
    for name, value in EDITS.items():
        status, answer = edited(api, namespace, {name: value if value else None})
        assert status == 422, name
        assert (
            f"spec: Forbidden: {name} cannot change once the first attempt has begun"
            in (answer["message"])
        )
    assert edited(api, namespace, {"suspend": False}, "")[1]["spec"]["suspend"] is False
    assert edited(api, namespace, {"suspend": None}, "")[0] == 200
    labelled = {"metadata": {"labels": {"team": "nlp"}}}
    assert api.patch(PLURAL, namespace, "good", labelled)["metadata"]["labels"] == {"team": "nlp"}


def test_the_operator_still_writes_the_status_of_a_job_that_has_begun(api, namespace, begun):
    told = {"status": {"attempt": 2}}
    assert api.patch(PLURAL, namespace, "good", told, "status")["status"]["attempt"] == 2


def test_before_the_first_attempt_everything_may_be_edited(api, namespace):
    api.create(PLURAL, namespace, changed({"spec.suspend": True}))
    api.patch(PLURAL, namespace, "good", {"status": {"attempt": 0}}, "status")
    for name, value in EDITS.items():
        status, answer = edited(api, namespace, {name: value, **ALONG.get(name, {})})
        assert status == 200, (name, answer["message"])
    assert edited(api, namespace, {"suspend": False})[0] == 200
