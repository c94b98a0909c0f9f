"""`lmjob run` from the first command to the files that a user finds."""

import json
import time

import pytest
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from tests.local.jobs import STEPS
from tests.runs import metrics

pytestmark = pytest.mark.slow


def test_the_results_are_where_the_readme_says(undisturbed):
    output = undisturbed.output
    AutoModelForMaskedLM.from_pretrained(output / "model")
    tokenizer = AutoTokenizer.from_pretrained(output / "model")
    assert tokenizer.mask_token == "[MASK]"
    assert tokenizer.model_max_length < 10**6
    assert (output / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert undisturbed.steps() == STEPS
    report = json.loads((output / "evaluation.json").read_text())
    assert report["perplexity"] < 600
    assert report["unigramPerplexity"] > 1
    assert 0 <= report["accuracy"] <= 1
    assert "[MASK]" not in report["fill"][0]["filled"]
    for stage in ("prepare", "train", "evaluate"):
        assert json.loads((output / f"records/{stage}.json").read_text())["stage"] == stage


def test_the_end_of_a_run_tells_what_a_person_wants_to_know(undisturbed):
    text = undisturbed.output_text
    for word in ("perplexity", "unigram", "accuracy", "loss.png", "from_pretrained", "A hacker is"):
        assert word in text, text


def test_workers_start_after_the_master_is_ready(undisturbed):
    text = undisturbed.output_text
    assert text.index("master-0 started") < text.index("worker-0 started")


def test_a_second_run_finds_its_finished_record(undisturbed):
    before = undisturbed.weights()
    start = time.monotonic()
    text = undisturbed.run()
    assert time.monotonic() - start < 5
    assert "perplexity" in text
    assert undisturbed.weights() == before


def test_another_configuration_in_the_same_folder_is_refused_by_name(job):
    job.spec["phases"][0]["steps"] = 4
    job.spec["workers"]["replicas"] = 0
    job.run()
    job.spec["phases"][0]["learningRate"] = 5e-4
    text = job.run(code=65)
    assert "phases[0].learningRate" in text
    assert "0.0005" in text
    job.spec["checkpoint"] = {"resume": "never"}
    job.run()
    folders = [path.name for path in (job.folder / "results").iterdir()]
    assert len(folders) == 2, "afresh, beside the first"


def test_resume_required_without_a_checkpoint_fails(job):
    job.spec["checkpoint"] = {"resume": "required"}
    text = job.run(code=65)
    assert "checkpoint.resume" in text


def test_text_that_is_not_there_is_named_before_anything_is_trained(job):
    job.spec["data"]["train"] = ["pvc://corpus/*.text"]
    text = job.run(code=65)
    assert "data.train[0]" in text
    assert "matches 0 files" in text
    assert "jargon.txt" in text
    assert job.state()["memory"]["attempt"] == 1, "a user's mistake is not tried again"


def test_one_rank_sees_the_data_that_three_see(job, undisturbed):
    job.spec["workers"]["replicas"] = 0
    job.spec["model"]["config"].update(dropout=0, attentionDropout=0)
    job.spec["phases"][0]["steps"] = 30
    job.run()
    alone = metrics(job.output)
    job.spec["workers"]["replicas"] = 2
    job.spec["output"] = {"to": "pvc://results/three"}
    job.run()
    three = metrics(job.folder / "results/three")
    for one, other in zip(alone, three, strict=True):
        assert (one["tokens"], one["targets"]) == (other["tokens"], other["targets"])
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_a_causal_model_in_two_phases(job):
    job.spec["model"] = {"type": "gpt2", "preset": "tiny", "config": {"maxPositions": 64}}
    job.spec["workers"]["replicas"] = 1
    job.spec["evaluate"] = {"everySteps": 10}
    job.spec["phases"] = [
        {"name": "short", "steps": 20, "sequenceLength": 16, "globalBatchSize": 8},
        {
            "name": "long",
            "steps": 10,
            "sequenceLength": 64,
            "globalBatchSize": 4,
            "microBatchSize": 1,
        },
    ]
    job.run()
    AutoModelForCausalLM.from_pretrained(job.output / "model")
    AutoTokenizer.from_pretrained(job.output / "model")
    rows = metrics(job.output)
    steps = [(row["phase"], row["step"]) for row in rows if "loss" in row]
    assert steps == [("short", s + 1) for s in range(20)] + [("long", s + 1) for s in range(10)]
    assert [row["step"] for row in rows if "heldOutLoss" in row] == [10, 20, 10]
    names = sorted(path.name for path in (job.output / "checkpoints").iterdir())
    assert names == ["0-short-step-00000020", "1-long-step-00000010"]
