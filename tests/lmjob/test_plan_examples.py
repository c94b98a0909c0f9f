"""Every example that ships is a job that can be planned."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from lmjob.cli import main
from lmjob.core.plan import JobPlan, plan_hash
from lmtrainer.config import parse

EXAMPLES = sorted(Path("manifests/examples").glob("*.yaml"))


def frozen(path: Path, capsys) -> JobPlan:
    assert main(["plan", "-o", "json", str(path)]) == 0
    return parse(JobPlan, json.loads(capsys.readouterr().out))


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {
        "quickstart",
        "two-workers",
        "pretraining-two-phases",
    }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_can_be_planned(path, capsys):
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: OK\n"
    assert main(["plan", str(path)]) == 0
    assert "train" in capsys.readouterr().out
    plan = frozen(path, capsys)
    assert plan.plan_hash == plan_hash(plan)


def test_two_workers_fit_any_cluster(capsys):
    plan = frozen(Path("manifests/examples/two-workers.yaml"), capsys)
    assert [str(r.key) for r in plan.stage("train").replicas] == [
        "master-0",
        "worker-0",
        "worker-1",
    ]
    assert all(
        pod.resources.requests["cpu"].amount <= Decimal("0.25") for pod in plan.pods.values()
    )
    assert plan.stage("train").target.step == 30
    assert plan.run.data.train == ("sample://jargon",)


def test_the_long_example_says_all_that_the_issue_asks_for(capsys):
    plan = frozen(Path("manifests/examples/pretraining-two-phases.yaml"), capsys)
    assert plan.stage("train").world_size == 32
    assert plan.run.precision == "bf16"
    assert [phase.name for phase in plan.run.phases] == ["short", "long"]
    assert plan.pods["prepare"].resources.gpus == 0
