"""What Argo CD says of a job: its health script in a Lua interpreter, on statuses as the operator
writes them. And whether the examples for Argo CD and Flux name what there is."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from lupa import LuaRuntime

from lmjob.api import names
from lmjob.core.fault import Fault
from lmjob.core.memory import Memory, ended, failing, in_group
from lmjob.core.observed import Observed, Obstacle
from lmjob.core.report import report, stalled
from lmtrainer.contract.reports import Position, Progress
from tests.lmjob.packaging import CRD, LOADER, ROOT, Object, kustomize, needs_kubectl

NOW = 1_700_000_000.0
FAULT = Fault(reason="RankKilled", replica="worker-0", rank=1, message="killed by signal 9")
RUNNING = Memory(attempt=1, stage="train", group="formed", started_at=NOW)
GATED = in_group(RUNNING, "gated", NOW)
NODES = ("master-0", "worker-0", "worker-1")

SCRIPT = yaml.safe_load((ROOT / "manifests/argocd/argocd-cm.yaml").read_text())["data"][
    f"resource.customizations.health.{names.GROUP}_{names.KIND}"
]


def health(status: Any, generation: int = 1) -> tuple[str, str]:
    """What the script returns for a job with this status, in an interpreter without any way out."""
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute("os, io, require, package, debug, dofile, loadfile, load = nil")
    job: dict[str, Any] = {"metadata": {"name": "job", "generation": generation}}
    if status is not None:
        job["status"] = {"observedGeneration": 1, **status}
    found = lua.eval(f"function(obj) {SCRIPT}\nend")(lua.table_from(job, recursive=True))
    return found["status"], found["message"]


@pytest.mark.parametrize(
    ("memory", "running", "said", "message"),
    [
        (Memory(), False, "Progressing", "Pending"),
        (GATED, False, "Progressing", "MasterStarting"),
        (RUNNING, True, "Progressing", "Running"),
        (failing(RUNNING, FAULT, NOW), False, "Progressing", "Restarting"),
        (in_group(RUNNING, "suspending", NOW), False, "Progressing", "Suspending"),
        (ended(RUNNING, "suspended", "Suspended", NOW), False, "Suspended", "Suspended"),
        (ended(RUNNING, "complete", "AllStagesDone", NOW), False, "Healthy", "AllStagesDone"),
        (
            ended(failing(RUNNING, FAULT, NOW), "failed", "RestartBudgetSpent", NOW),
            False,
            "Degraded",
            "RestartBudgetSpent: worker-0 rank 1: killed by signal 9",
        ),
    ],
)
def test_each_state_of_a_job_has_its_health(plan_of, replica, memory, running, said, message):
    seen = Observed(replicas=tuple(replica(n, "ready") for n in NODES) if running else ())
    found, words = health(report(plan_of(), memory, seen, NOW))
    assert found == said
    assert words == message or words.startswith(f"{message}: ")


def test_a_job_that_comes_back_from_its_rest_is_on_its_way_again(plan_of):
    rests = ended(RUNNING, "suspended", "Suspended", NOW)
    before = report(plan_of(), rests, Observed(suspend=True), NOW)
    after = report(plan_of(), GATED, Observed(), NOW + 1, before)
    assert [health(before)[0], health(after)[0]] == ["Suspended", "Progressing"]


def test_a_running_job_says_how_far_it_is(plan_of, replica):
    step = Position(phase_index=0, phase="main", step=40)
    progress = Progress(job_uid="u", attempt=1, stage="train", position=step)
    seen = Observed(replicas=tuple(replica(n, "ready") for n in NODES), progress=progress)
    said, message = health(report(plan_of(), RUNNING, seen, NOW))
    assert (said, message) == ("Progressing", "Running: phase main step 40")


def test_a_job_that_waits_for_help_says_for_which(plan_of):
    obstacle = Obstacle("VolumeNotFound", "there is no volume claim results")
    status = report(plan_of(), Memory(), Observed(obstacle=obstacle), NOW)
    said = ("Progressing", "VolumeNotFound: there is no volume claim results")
    assert health(status) == said


def test_a_specification_that_cannot_be_used_is_degraded():
    said = ("Degraded", "InvalidSpec: spec.model: required")
    assert health(stalled("InvalidSpec", "spec.model: required", NOW)) == said


def test_a_complete_job_stays_healthy_whatever_befalls_the_operator(plan_of):
    done = report(plan_of(), ended(RUNNING, "complete", "AllStagesDone", NOW), Observed(), NOW)
    assert health(stalled("OperatorError", "it broke", NOW, done))[0] == "Healthy"


def test_a_job_that_the_operator_has_not_seen_is_on_its_way():
    assert health(None)[0] == "Progressing"
    assert health({})[0] == "Progressing"


def test_an_old_status_says_nothing_of_a_changed_job(plan_of):
    done = report(plan_of(), ended(RUNNING, "complete", "AllStagesDone", NOW), Observed(), NOW)
    assert health(done, generation=1)[0] == "Healthy"
    assert health(done, generation=2)[0] == "Progressing"


def documents(path: str) -> list[Object]:
    return list(yaml.safe_load_all((ROOT / path).read_text()))


def test_the_applications_name_the_chart_and_its_values():
    operator, _ = documents("manifests/argocd/application.yaml")
    source = operator["spec"]["source"]
    chart = ROOT / source["path"]
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert (chart / "Chart.yaml").is_file()
    assert source["helm"]["valuesObject"].keys() <= values.keys()


@needs_kubectl
def test_the_health_checks_of_flux_name_what_is_installed():
    _, operator = documents("manifests/flux/operator.yaml")
    installed = kustomize(ROOT / operator["spec"]["path"])
    checks = operator["spec"]["healthChecks"]
    assert checks
    for check in checks:
        found = installed[check["kind"], check.get("namespace", ""), check["name"]]
        assert found["apiVersion"] == check["apiVersion"]


def test_the_health_check_of_a_job_is_one_of_our_kind():
    _, jobs = documents("manifests/flux/jobs.yaml")
    (check,) = jobs["spec"]["healthChecks"]
    assert (check["apiVersion"], check["kind"]) == (names.API_VERSION, names.KIND)
    (needed,) = jobs["spec"]["dependsOn"]
    assert needed["name"] in [
        one["metadata"]["name"] for one in documents("manifests/flux/operator.yaml")
    ]
    definition = yaml.load(CRD.read_text(), LOADER)
    assert definition["spec"]["scope"] == "Namespaced"
