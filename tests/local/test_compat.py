"""The command lines that the guides of the earlier kits print, run on tiny data to their results.
Those of the kit for IPUs: test_compat_ipu.py."""

from __future__ import annotations

import json
import math
import socket

import pytest
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.lmtrainer.compat.lines import LINES
from tests.local.oldkits import SHORT, TINY_BERT, Place, loads, wikitext
from tests.runs import metrics

pytestmark = pytest.mark.slow


def test_the_tutorial_trains_bert_from_scratch_and_then_on(place: Place) -> None:
    place.text("dataset/train.txt", "dataset/test.txt")
    place.text("dataset/train_new.txt", "dataset/test_new.txt")
    place.wordpiece("output/bert/tokens")
    place.config("output/bert/tokens", TINY_BERT)
    few = ("--per_device_train_batch_size", "2", *SHORT)
    place.run(LINES["tutorial"], *few)
    base = place.folder / "output/bert/base"
    first = loads(base).state_dict()
    name, value = (base / "eval_results_lm.txt").read_text().split(" = ")
    assert name == "perplexity"
    assert 1 < float(value) < math.inf
    assert (base / "checkpoint-2" / "model.safetensors").is_file()
    place.run(LINES["tutorial_again"], *few)
    again = loads(place.folder / "output/bert/base-finetuning").state_dict()
    moved = max(float((again[name] - first[name]).abs().max()) for name in first)
    assert 0 < moved < 1e-3, "two steps from where the first training ended"


THAI = ("--max_seq_length", "24", "--per_device_train_batch_size", "2", *SHORT)


def thai(place: Place) -> None:
    place.text("text/train/a.txt", "text/eval/b.txt")
    place.model("tokenizer", "roberta", "roberta")
    (place.folder / "tokenizer" / "model.safetensors").unlink()


def test_row_026_and_row_029_the_thai_kit_builds_its_dataset_alone_and_anew_when_told(
    place: Place,
) -> None:
    thai(place)
    only = ("--build_dataset_only", "--no_cuda")
    place.run(LINES["thai"], *THAI, *only)
    (built,) = (place.folder / "cache").iterdir()
    assert not (place.folder / "out/run/checkpoints").exists()
    before = (built / "dataset/manifest.json").stat().st_ino
    place.run(LINES["thai"], *THAI, *only, "--overwrite_output_dir")
    assert (built / "dataset/manifest.json").stat().st_ino == before
    place.run(LINES["thai"], *THAI, *only, "--overwrite_cache")
    assert (built / "dataset/manifest.json").stat().st_ino != before


def test_the_thai_kit_trains_roberta(place: Place) -> None:
    thai(place)
    place.model("start", "roberta", "roberta")
    place.run(LINES["thai"], *THAI, "--model_dir", str(place.folder / "start"))
    loads(place.folder / "out")
    assert list((place.folder / "logs").glob("*tfevents*"))
    steps = metrics(place.folder / "out/run")
    assert [row["step"] for row in steps if "loss" in row] == [1, 2]


def test_row_085_two_nodes_form_a_group_whichever_comes_first(place: Place) -> None:
    thai(place)
    place.model("start", "roberta", "roberta")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = LINES["thai_nodes"]
    for name, value in (
        ("MASTER_ADDR", "127.0.0.1"),
        ("MASTER_PORT", str(port)),
        ("N_GPUS_PER_NODE", "1"),
        ("N_NODES", "2"),
    ):
        old = next(text for text in line.splitlines() if text.startswith(f"{name}="))
        line = line.replace(old, f"{name}={value}")
    start = ("--model_dir", str(place.folder / "start"))
    worker = place.start(line.replace("NODE_RANK=0", "NODE_RANK=1"), *THAI, *start)
    try:
        master = place.start(line, *THAI, *start)
        told, _ = master.communicate(timeout=250)
        assert master.returncode == 0, told
        told, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0, told
    finally:
        worker.kill()
        worker.communicate()
    state = place.json("out/run/checkpoints/0-main-step-00000002/state.json")
    assert state["worldSize"] == 2


def test_the_thai_kit_makes_a_vocabulary_of_words(place: Place) -> None:
    place.write("words/a.txt", "ab<|>cd<|>ab\nab<|>ef\n")
    line = "train_tokenizer.py --train_dir words --ext txt --pre_tokenizer_type fake_sefr_cut "
    line += "--output_file words.json --vocab_min_freq 2"
    place.run(line)
    ids = place.json("words.json")
    assert list(ids)[:7] == ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<_>", "\n"]
    assert list(ids.values()) == list(range(len(ids)))
    assert "ab" in ids
    assert "ef" not in ids
    assert "is there already" in place.run(line, code=65)
    place.run(line, "--overwrite_output_file")


def test_the_lightning_kit_prints_trains_measures_and_exports(place: Place) -> None:
    place.text("a.txt", "b.txt")
    place.write("c.txt", place.held_out)
    place.run("python train_tokenizer.py --train_file a.txt --vocab_size 400")
    printed = place.run(LINES["print_config"]).partition("seed_everything:")
    plain = yaml.safe_load("seed_everything:" + printed[2])
    files = {"train_file": "a.txt", "valid_file": "b.txt", "test_file": "c.txt"}
    sizes = {"block_size": 32, "n_layer": 1, "n_head": 2, "n_embd": 16, "batch_size": 4}
    plain["model"] |= {"tokenizer_model": "output/model", **files, **sizes}
    callbacks = ("LearningRateMonitor", "GPUStatsMonitor")
    plain["trainer"] |= {
        "max_epochs": 1,
        "max_steps": 9,
        "deterministic": True,
        "gradient_clip_val": 1.0,
        "seed_everything": 1000,
        "callbacks": [{"class_path": f"pytorch_lightning.callbacks.{c}"} for c in callbacks],
    }
    place.write("config.yaml", yaml.safe_dump(plain))
    place.run(LINES["lightning"])
    version = place.folder / "lightning_logs/version_0"
    assert [p.name for p in (version / "checkpoints").iterdir()] == ["epoch=0-step=8.ckpt"]
    saved = yaml.safe_load((version / "config.yaml").read_text())
    assert (saved["seed_everything"], saved["model"]["n_embd"]) == (1000, 16)
    measured = place.run(LINES["lightning_test"].replace("step\\=2-", "").replace("=2-", "=0-"))
    found = dict(text.split(" = ") for text in measured.splitlines() if text.startswith("test_"))
    assert float(found["test_ppl"]) == pytest.approx(math.exp(float(found["test_loss"])))
    checkpoint = "lightning_logs/version_0/checkpoints/epoch=0-step=8.ckpt"
    export = f"python export_model.py --config config.yaml --ckpt_path {checkpoint}"
    place.run(f"{export} --output_dir exported")
    loads(place.folder / "exported", AutoModelForCausalLM)


def instances(place: Place) -> None:
    """data/vocab.txt and data/train_128.json, as the kit's own lines make them."""
    place.text("data/train.txt", "data/dev.txt")
    place.model("bert-base-uncased", "bert", "bert")
    place.run(LINES["vocabulary"])
    place.run(LINES["pairs"], "--max_seq_length=32", "--dupe_factor=1")


def test_the_kit_of_pairs_trains_in_two_phases_and_measures(place: Place) -> None:
    instances(place)
    lines = (place.folder / "data/vocab.txt").read_text().splitlines()
    tokenizer = AutoTokenizer.from_pretrained(place.folder / "bert-base-uncased")
    assert lines == sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    source = (place.folder / "data/train_128.json").read_text()
    assert set(json.loads(source.splitlines()[0])) == {
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "labels",
        "next_sentence_label",
    }
    some = "\n".join(source.splitlines()[:24]) + "\n"
    for name in ("dev_128", "train_512", "dev_512", "test_512"):
        place.write(f"data/{name}.json", some)
    few = ("--per_device_train_batch_size=1", "--gradient_accumulation_steps=1")
    place.run(LINES["run_bert"], *few, *SHORT)
    models = place.folder / "data/models"
    (models / "checkpoints_128/checkpoint-2").rename(models / "checkpoints_128/checkpoint-90000")
    place.run(LINES["run_bert_512"], *few, *SHORT)
    (models / "checkpoints_512/checkpoint-2").rename(models / "checkpoints_512/checkpoint-10000")
    place.run(LINES["measure_mlm"])
    words = place.json("temp/all_results.json")
    place.run(LINES["measure_both"])
    both = place.json("temp/all_results.json")
    assert both["eval_mlm_loss"] == pytest.approx(words["eval_loss"], rel=1e-5)
    assert both["eval_loss"] == pytest.approx(both["eval_mlm_loss"] + both["eval_nsp_loss"])


def test_a_folder_with_strangers_is_left_alone_and_a_run_goes_on(place: Place) -> None:
    wikitext(place)
    place.model("roberta-base", "roberta", "roberta")
    place.write("tmp/mlm_output/notes.txt", "mine")
    less = ("--max_seq_length", "32", "--gradient_accumulation_steps", "1", *SHORT)
    assert "is not empty (notes.txt)" in place.run(LINES["roberta"], *less, code=65)
    place.run(LINES["roberta"], *less, "--overwrite_output_dir")
    assert (place.folder / "tmp/mlm_output/notes.txt").read_text() == "mine"
    made = (place.folder / "tmp/mlm_output/run/model/manifest.json").stat().st_ino
    place.run(LINES["roberta"], *less)
    assert (place.folder / "tmp/mlm_output/run/model/manifest.json").stat().st_ino == made


def test_row_125_the_saved_configuration_runs_again(place: Place) -> None:
    wikitext(place)
    place.model("gpt2", "gpt2", "gpt2")
    less = ("--block_size", "32", "--gradient_accumulation_steps", "1", "--fp32", *SHORT)
    place.run(LINES["gpt2"], *less)
    saved = "tmp/clm_gpt2/run/configuration.json"
    done = run_again(place, saved, "--print_config")
    assert json.loads(done)["phases"] == place.json(saved)["phases"]
    run_again(place, saved, "--to", "again")
    first = (place.folder / "tmp/clm_gpt2/run/model/model.safetensors").read_bytes()
    assert (place.folder / "again/model/model.safetensors").read_bytes() == first


def run_again(place: Place, *words: str) -> str:
    import subprocess
    import sys

    command = [sys.executable, "-P", "-m", "lmtrainer", "run", *words]
    done = subprocess.run(command, cwd=place.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
