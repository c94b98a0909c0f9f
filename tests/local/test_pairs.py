"""Pairs of sentences as a job: the example, and the same losses for any number of processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from transformers import AutoModelForPreTraining, AutoTokenizer

from tests.runs import metrics

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "manifests/examples/sentence-pairs.yaml"


def test_the_example_runs_both_phases_and_tells_both_losses(tmp_path):
    job = yaml.safe_load(EXAMPLE.read_text())
    job["spec"]["steps"] = 20
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    command = [sys.executable, "-m", "lmjob", "run", "job.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pairs right" in done.stdout
    assert "AutoModelForPreTraining.from_pretrained" in done.stdout
    output = tmp_path / "volumes/results/sentence-pairs"
    AutoModelForPreTraining.from_pretrained(output / "model")
    AutoTokenizer.from_pretrained(output / "model")
    trained = [row for row in metrics(output) if "loss" in row]
    assert [(row["phase"], row["step"]) for row in trained] == [
        *(("short", step) for step in range(1, 19)),
        *(("long", step) for step in range(1, 3)),
    ]
    assert all(row["targets"] > 0 and "nspLoss" in row for row in trained)
    results = json.loads((output / "all_results.json").read_text())
    assert {"eval_mlm_loss", "eval_nsp_loss", "eval_nsp_accuracy", "perplexity"} <= set(results)


def test_more_processes_have_the_losses_of_one(job):
    """Means over targets and over pairs are those of the whole batch, wherever its parts lie."""
    job.spec["model"]["config"] |= {"dropout": 0, "attentionDropout": 0}
    phase = job.spec["phases"][0] | {"steps": 4, "globalBatchSize": 7}
    pairs = phase | {"name": "pairs", "objective": "mlm+nsp"}
    words = phase | {"name": "words", "objective": "mlm"}
    found = []
    for replicas, strategy in ((0, "ddp"), (2, "ddp"), (1, "fsdp")):
        job.spec["phases"] = [pairs, words]
        job.spec["workers"]["replicas"] = replicas
        job.spec["parallel"] = {"strategy": strategy}
        job.spec["output"] = {"to": f"pvc://results/{strategy}{replicas}"}
        job.run()
        rows = metrics(job.folder / "results" / f"{strategy}{replicas}")
        found.append([row for row in rows if "loss" in row])
    alone, *others = found
    assert [len(rows) for rows in found] == [8, 8, 8]
    for other in others:
        for one, many in zip(alone, other, strict=True):
            assert set(one) == set(many)
            for name in {"loss", "mlmLoss", "nspLoss", "gradientNorm", "nspAccuracy"} & set(one):
                assert one[name] == pytest.approx(many[name], rel=1e-4), (one, many)
            assert (one["targets"], one["tokens"]) == (many["targets"], many["tokens"])
