"""The quickstart reaches its aim: held-out masked perplexity at most half of the unigram's.

Recomputed here from the saved folder with plain transformers, one sequence at a time; and a model
that learns nothing does not reach it.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lmtrainer.config import ResolvedRun, parse
from lmtrainer.dataset import EvaluationRows, open_prepared

pytestmark = [pytest.mark.demo, pytest.mark.timeout(1200)]
EXAMPLE = Path(__file__).parents[2] / "manifests/examples/quickstart.yaml"
DEMO = os.environ.get("LMJOB_DEMO")
"""Folder in which `make demo` has just run: CI does not train the same model twice."""


def run(folder, file=EXAMPLE):
    command = [sys.executable, "-m", "lmjob", "run", str(file)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "volumes/results/quickstart", done.stdout


def perplexities(output):
    """(of the model, of the add-one unigram) on the held-out masked positions."""
    stored = json.loads((output / ".lmjob/job.json").read_text())
    config = parse(ResolvedRun, stored["plan"]["run"])
    prepared = open_prepared(config, output, {"results": str(output.parent)})
    model = AutoModelForMaskedLM.from_pretrained(output / "model").eval()
    counts = prepared.counts + 1.0
    unigram = np.log(counts / counts.sum())
    loss = baseline = total = 0.0
    for row in EvaluationRows(prepared, config, 0).rows(0, 1):
        start = 0
        for length in row.lengths:
            inside = (row.targets >= start) & (row.targets < start + length)
            labels = torch.from_numpy(row.labels[inside])
            places = torch.from_numpy(row.targets[inside] - start)
            with torch.inference_mode():
                tokens = torch.from_numpy(row.tokens[start : start + length])
                scores = model(tokens[None]).logits[0, places].log_softmax(-1)
            loss -= float(scores.gather(1, labels[:, None]).sum())
            baseline -= float(unigram[row.labels[inside]].sum())
            total += int(inside.sum())
            start += length
    return math.exp(loss / total), math.exp(baseline / total)


def test_the_quickstart_halves_the_perplexity_of_the_unigram(tmp_path):
    folder = Path(DEMO) if DEMO else tmp_path
    output, text = run(folder)
    model, unigram = perplexities(output)
    report = json.loads((output / "evaluation.json").read_text())
    assert report["perplexity"] == pytest.approx(model, rel=1e-3)
    assert report["unigramPerplexity"] == pytest.approx(unigram, rel=1e-6)
    assert model <= unigram / 2
    assert f"{report['perplexity']:.1f}" in text
    assert AutoTokenizer.from_pretrained(output / "model").mask_token == "[MASK]"
    assert len(report["fill"]) == 3
    # A second run finds its finished record.
    assert run(folder)[1].count("attempt") <= 1


def test_a_model_that_learns_nothing_does_not(tmp_path):
    job = yaml.safe_load(EXAMPLE.read_text())
    job["spec"]["phases"][0].update(learningRate=1e-12, steps=20, warmupSteps=0)
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    output, _ = run(tmp_path, "job.yaml")
    model, unigram = perplexities(output)
    assert model > unigram / 2
