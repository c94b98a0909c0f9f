"""The command lines of the kit for IPUs, run on tiny data to their results."""

from __future__ import annotations

import json

import pytest
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from tests.lmtrainer.compat.lines import LINES
from tests.local.oldkits import SHORT, Place, loads, wikitext
from tests.rows.readymade import instance
from tests.runs import metrics

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("line", "name", "kind", "special", "results"),
    [
        ("roberta", "roberta-base", "roberta", "roberta", "tmp/mlm_output"),
        ("bert_mlm", "bert-base-uncased", "bert", "bert", "tmp/mlm_output"),
        ("gpt2", "gpt2", "gpt2", "gpt2", "tmp/clm_gpt2"),
        ("gpt2_medium", "gpt2-medium", "gpt2", "gpt2", "tmp/clm_gpt2_medium"),
    ],
)
def test_the_ipu_kit_trains_on_wikitext(
    place: Place, line: str, name: str, kind: str, special: str, results: str
) -> None:
    wikitext(place)
    place.model(name, kind, special)
    length = "--block_size" if kind == "gpt2" else "--max_seq_length"
    less = (length, "32", "--gradient_accumulation_steps", "2", *SHORT)
    place.run(LINES[line], *less)
    causal = kind == "gpt2"
    model = loads(place.folder / results, AutoModelForCausalLM if causal else AutoModelForMaskedLM)
    assert not causal or model.config.activation_function == "gelu"
    assert place.json(f"{results}/all_results.json")["perplexity"] > 1
    assert place.json(f"{results}/compat.json")["hardware"]["replicas"] == 4


def test_the_ipu_kit_compiles_alone(place: Place) -> None:
    wikitext(place)
    place.model("gpt2", "gpt2", "gpt2")
    less = ("--block_size", "32", "--gradient_accumulation_steps", "2", *SHORT)
    text = place.run(LINES["gpt2"], *less, "--compile_only")
    results = place.folder / "tmp/clm_gpt2"
    assert (
        "--compile_only true: renamed: stage prepare, then `lmtrainer compile`: kernels in" in text
    )
    assert "2 passes compiled, no update made" in text
    assert list((results / "kernels").rglob("*.so")), "kernels of the CPU are shared objects"
    assert list((results / "run").glob("**/dataset/manifest.json"))
    assert not (results / "run/metrics.jsonl").exists(), "nothing was trained"
    assert (results / "compat.json").is_file()


def ready_made(place: Place) -> None:
    """The folders that the IPU kit's lines name."""
    place.model("bert-base-uncased", "bert", "bert")
    rows = "".join(json.dumps(instance(number)) + "\n" for number in range(24))
    for length in (128, 512):
        place.write(f"Graphcore/wikipedia-bert-{length}/train.jsonl", rows)


FAMILIES = ("groupbert", "bert_base", "bert_large")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_ipu_kit_pretrains_in_two_phases(place: Place, family: str) -> None:
    ready_made(place)
    place.copy("bert-base-uncased", "bert-large-uncased")
    small = "hidden_size=16,num_attention_heads=2,intermediate_size=32,layer_norm_eps=0.001"
    less = ["--gradient_accumulation_steps", "1", "--max_seq_length", "32", *SHORT]
    less += ["--per_device_train_batch_size", "1"]
    first = [*less, "--config_overrides", small] if family == "groupbert" else less
    place.run(LINES[f"{family}_1"], *first)
    name = f"output-pretrain-{family.replace('_', '-').replace('groupbert', 'groupbert-base')}"
    done = place.json(f"{name}-phase1/compat.json")
    assert done["hardware"]["replicas"] == 4
    if family == "groupbert":
        assert done["hardware"]["stageMap"][-1] == "stage 3: layers 8 to 11"
    place.run(LINES[f"{family}_2"], *less)
    rows = metrics(place.folder / f"{name}-phase2/run")
    assert [row["step"] for row in rows if "loss" in row] == [1, 2]
    assert (place.folder / f"{name}-phase2/model.safetensors").is_file()


@pytest.mark.parametrize("line", ["larger", "loss_scaling"])
def test_the_ipu_kit_makes_a_model_on_the_fly_and_scales_its_loss(place: Place, line: str) -> None:
    ready_made(place)
    less = ["--gradient_accumulation_steps", "1", "--max_seq_length", "32", *SHORT]
    less += ["--per_device_train_batch_size", "1"]
    if line == "larger":
        less += ["--config_overrides", "hidden_size=32,num_attention_heads=4,num_hidden_layers=2"]
    place.run(LINES[line], *less)
    results = "output-pretrain-bert-base-phase1"
    config = place.json(f"{results}/config.json")
    if line == "larger":
        assert (config["hidden_size"], config["num_hidden_layers"]) == (32, 2)
    else:
        scale = place.json(f"{results}/run/configuration.json")["lossScale"]
        assert scale == {"type": "histogram", "initial": 1.0}


def test_the_ipu_kit_prepares_a_dataset_alone(place: Place) -> None:
    place.text("raw/a.txt", "raw/b.txt")
    place.model("bert-base-uncased", "bert", "bert")
    line = "python prepare_dataset.py --num_workers 2 --data_dir raw --output_dataset_name made"
    place.run(line, "--max_number_of_files", "1")
    assert list((place.folder / "made").glob("prepared-*/dataset/manifest.json"))
