"""`lmjob plan`: what a job would do, before anything is started."""

from __future__ import annotations

import json

import pytest

from lmjob.cli import main
from lmjob.core.plan import JobPlan
from lmjob.local.machine import machine_facts
from lmtrainer.config import parse
from lmtrainer.contract.exits import ExitType
from tests.lmjob.bodies import REMOVED, changed


@pytest.fixture
def show(tmp_path, capsys):
    """Runs `lmjob plan` on the good job with changes; returns the rows of what it printed."""

    def run(changes: dict, *options: str) -> dict[str, list[str]]:
        file = tmp_path / "job.json"
        file.write_text(json.dumps(changed(changes)))
        assert main(["plan", *options, str(file)]) == 0
        lines = capsys.readouterr().out.splitlines()
        rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
        return {row[0]: row[1:] for row in rows if row}

    return run


def test_stages_nodes_and_ranks_are_shown(show):
    rows = show({"spec.processesPerNode": 2, "spec.phases[0].globalBatchSize": 64})
    assert rows["prepare"][:3] == ["1", "1", "prepare x 1"]
    assert rows["train"][:3] == ["4", "8", "master x 2, 3 workers x 2"]
    assert rows["evaluate"][:3] == ["1", "1", "evaluate x 1"]
    rows = show({"spec.prepare.replicas": 16})
    assert rows["prepare"][:3] == ["16", "16", "16 nodes x 1"]


def test_the_effective_batch_is_micro_x_accumulation_x_world(show):
    rows = show({"spec.phases[0].globalBatchSize": 64})
    assert rows["main"] == ["1000", "128", "64 = 4 x 4 x 4", "8,192", "0.0001, linear"]


def test_uneven_shares_are_told(show):
    rows = show({"spec.phases[0].globalBatchSize": 30, "spec.phases[0].microBatchSize": REMOVED})
    assert rows["main"][2] == "30, in 8 x 1 x 4 with uneven shares"


def test_epochs_threads_precision_and_claims_are_shown(show):
    rows = show(
        {
            "spec.phases": [{"name": "a", "epochs": 1.5}],
            "spec.data.cache": "pvc://scratch/x",
            "spec.threadsPerProcess": 3,
        }
    )
    assert rows["a"][0] == "1.5 epochs"
    assert rows["precision"] == ["fp32; threads of a process: 3"]
    assert rows["claims"] == ["corpus (read), results (written), scratch (written)"]


def test_where_results_are_copied_to_is_shown(show):
    assert "copied to" not in show({})
    rows = show({"spec.output.copyTo": "s3://results/good"})
    assert rows["copied to"] == ["s3://results/good"]


def test_the_memory_of_a_process_is_estimated_for_each_phase(show):
    rows = show({"spec.model.preset": "base"})
    assert rows["model"] == ["bert, 109,514,298 parameters, objective mlm"]
    assert rows["phase main"][:3] == ["418 MiB", "418 MiB", "836 MiB"]


def test_a_saved_model_alone_knows_its_sizes(show):
    rows = show({"spec.model": {"type": "bert", "from": "pvc://models/x"}})
    assert rows["phase main"] == ["only the saved model knows its sizes"]
    assert rows["model"] == ["from pvc://models/x, objective mlm"]


def test_local_shares_out_the_cores_of_this_machine(show):
    alone = {"spec.pods.resources": REMOVED, "spec.workers": REMOVED}
    cores = machine_facts().cpus
    assert show(alone)["precision"] == ["fp32; threads of a process: 1"]
    assert show(alone, "--local")["precision"] == [f"fp32; threads of a process: {cores}"]


def test_json_is_the_frozen_plan(tmp_path, capsys):
    file = tmp_path / "job.json"
    file.write_text(json.dumps(changed({"metadata.uid": "u-9"})))
    assert main(["plan", "-o", "json", str(file)]) == 0
    plan = parse(JobPlan, json.loads(capsys.readouterr().out))
    assert plan.job.uid == "u-9"
    assert plan.stage("train").world_size == 4


def test_a_job_with_mistakes_is_not_planned(tmp_path, capsys):
    file = tmp_path / "job.json"
    file.write_text(json.dumps(changed({"spec.workers.replicas": -1, "spec.seed": "x"})))
    assert main(["plan", str(file)]) == ExitType.USER_ERROR.code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(": ")[1] for line in printed.err.splitlines()] == [
        "spec.seed",
        "spec.workers.replicas",
    ]
