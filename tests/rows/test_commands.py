"""Rows 108 and 117: a checkpoint as a folder for transformers, and a measurement of any text."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer

from lmtrainer import checkpoint
from lmtrainer.checkpoint.snapshot import Part
from lmtrainer.cli import main
from lmtrainer.contract.exits import ExitType
from lmtrainer.durable import read_manifest
from tests.rows import small_run
from tests.runs import jargon


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run.carry_out(tmp_path_factory.mktemp("run"))


def checkpoints(output: Path) -> list[Path]:
    return sorted((output / "checkpoints").iterdir())


def test_row_108_any_checkpoint_becomes_a_folder_that_loads(finished: Path, tmp_path: Path) -> None:
    for number, saved in enumerate(checkpoints(finished)):
        target = tmp_path / str(number)
        assert main(["export", str(saved), str(target)]) == 0
        model = AutoModelForMaskedLM.from_pretrained(target)
        tokenizer = AutoTokenizer.from_pretrained(target)
        weights = load_file(saved / "model.safetensors")
        name = "bert.embeddings.word_embeddings.weight"
        assert torch.equal(model.state_dict()[name], weights[name])
        ids = tokenizer("a hacker", return_tensors="pt")
        assert model(**ids).logits.shape[-1] == len(tokenizer)
    assert number == 2


def test_row_108_of_a_run_the_newest_that_verifies_is_taken(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    newest = checkpoints(output)[-1]
    data = bytearray((newest / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (newest / "model.safetensors").write_bytes(data)
    assert main(["export", str(newest), str(tmp_path / "no")]) == ExitType.USER_ERROR.code
    assert "sha256 does not match" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert main(["export", str(output), str(tmp_path / "yes"), "--dtype", "bfloat16"]) == 0
    assert "0-short-step-00000004: exported" in capsys.readouterr().out
    assert newest.is_dir(), "nothing of the run is changed"
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path / "yes", dtype="auto")
    assert loaded.dtype == torch.bfloat16


def in_parts(whole: Path, output: Path) -> Path:
    """The same checkpoint as two ranks write it, each half of every tensor; returns its folder."""
    found = checkpoint.load(checkpoint.verify(whole, read_manifest(whole).facts["configHash"]))
    aside = output / "checkpoints"
    aside.mkdir(parents=True)

    def part(rank: int) -> checkpoint.Snapshot:
        held: list[dict[str, torch.Tensor]] = []
        offsets = {}
        for tensors in (found.weights, found.optimizer):
            mine, seen = {}, set()
            for name, tensor in tensors.items():
                cut = (len(tensor) + 1) // 2 if tensor.ndim else 0
                halves = (tensor[:cut], tensor[cut:]) if tensor.ndim else (tensor, tensor[None][:0])
                if halves[rank].numel() and tensor.data_ptr() not in seen:
                    seen.add(tensor.data_ptr())
                    mine[name] = halves[rank].contiguous()
                    offsets[name] = (rank * cut, *(0 for _ in tensor.shape[1:]))[: tensor.ndim]
            held.append(mine)
        own = Part(rank=rank, ranks=2, offsets=offsets)
        return dataclasses.replace(found, weights=held[0], optimizer=held[1], part=own)

    with ThreadPoolExecutor() as pool:
        other = pool.submit(checkpoint.contribute, aside, part(1))
        saved = checkpoint.save(aside, part(0), keep=9, fence=lambda: None)
        other.result()
    return saved.path


def test_row_108_a_checkpoint_in_parts_is_put_together(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = checkpoints(finished)[-1]
    parts = in_parts(whole, tmp_path / "out")
    names = {path.name for path in parts.iterdir()}
    assert "part-00001-weights.safetensors" in names and "model.safetensors" not in names
    tokenizer = ["--tokenizer", str(finished / "tokenizer")]
    assert main(["export", str(whole), str(tmp_path / "a")]) == 0
    assert main(["export", str(parts), str(tmp_path / "b"), *tokenizer]) == 0
    weights = [load_file(tmp_path / name / "model.safetensors") for name in "ab"]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "out"}
    assert main(["test", "--model", str(parts), "--text", "x"]) == ExitType.USER_ERROR.code
    assert "is a checkpoint in parts; put them together" in capsys.readouterr().err


def test_row_107_a_checkpoint_is_exported_by_the_name_that_lightning_gives_it(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {read_manifest(path).facts["epochName"]: path for path in checkpoints(finished)}
    for number, (name, newest) in enumerate(named.items()):
        source = newest.parent / f"{name}.ckpt"
        assert main(["export", str(source), str(tmp_path / str(number))]) == 0
        assert f"{newest.name}: exported" in capsys.readouterr().out
    missing = finished / "checkpoints/epoch=7-step=7.ckpt"
    assert main(["export", str(missing), str(tmp_path / "no")]) == ExitType.USER_ERROR.code


def test_row_108_nothing_is_overwritten(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    code = main(["export", str(finished), str(tmp_path / "mine")])
    assert code == ExitType.USER_ERROR.code
    assert "is there already" in capsys.readouterr().err
    assert main(["export", str(tmp_path), str(tmp_path / "new")]) == ExitType.USER_ERROR.code
    assert "neither a checkpoint nor the output folder" in capsys.readouterr().err


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    found: dict[str, float] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_row_117_loss_and_perplexity_of_a_text_are_printed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "new.txt"
    text.write_text("A hacker is a person.\n\nThe machine hung, and nobody knew why.\n\n" * 20)
    assert main(["test", "--model", str(finished), "--text", str(text)]) == 0
    lines = dict(line.split(" = ") for line in capsys.readouterr().out.splitlines())
    assert set(lines) == {"test_loss", "test_ppl", "test_accuracy", "test_predictions"}
    assert float(lines["test_ppl"]) == pytest.approx(math.exp(float(lines["test_loss"])))
    assert int(lines["test_predictions"]) > 10


def test_row_117_agrees_with_the_evaluation_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = tmp_path / "held.txt"
    held.write_text(jargon(20, first=60))
    data = {"train": [str(small_run.corpus(tmp_path))], "validation": {"files": [str(held)]}}
    output = small_run.carry_out(tmp_path, data=data)
    own = json.loads((output / "evaluation.json").read_text())
    assert main(["test", "--model", str(output / "model"), "--text", str(held), "--json"]) == 0
    found = told(capsys)
    assert found["test_predictions"] == own["predictions"]
    assert found["test_loss"] == pytest.approx(own["loss"], rel=1e-6)
    assert found["test_accuracy"] == pytest.approx(own["accuracy"])


def test_row_117_is_weighted_by_token(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {"short": "A hack.\n\n" * 3, "long": "The hacker wrote a program at night.\n\n" * 60}
    found = {}
    for name, text in [*parts.items(), ("both", "".join(parts.values()))]:
        (tmp_path / name).write_text(text)
        arguments = ["--text", str(tmp_path / name), "--share", "0.9", "--sequence-length", "16"]
        assert main(["test", "--model", str(finished), "--json", *arguments]) == 0
        found[name] = told(capsys)
    counts = {name: values["test_predictions"] for name, values in found.items()}
    assert counts["long"] > 10 * counts["short"]
    weighted = sum(found[n]["test_loss"] * counts[n] for n in parts) / sum(counts[n] for n in parts)
    plain = sum(found[n]["test_loss"] for n in parts) / 2
    assert abs(found["both"]["test_loss"] - weighted) < abs(found["both"]["test_loss"] - plain)
    assert found["both"]["test_loss"] == pytest.approx(weighted, rel=0.02)


def test_row_117_text_is_cut_as_one_says(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("The hacker wrote a program.\nThe machine hung.\n" * 20)
    found = {}
    for rule in ("documents", "lines"):
        arguments = ["--text", str(tmp_path / "text"), "--sequences", rule, "--json"]
        assert main(["test", "--model", str(finished), *arguments]) == 0
        found[rule] = told(capsys)
    assert found["lines"] != found["documents"]


def test_row_117_a_checkpoint_can_be_measured_too(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("The hacker wrote a program at night.\n\n" * 20)
    first = checkpoints(finished)[0]
    arguments = ["--text", str(tmp_path / "text"), "--sequence-length", "16", "--json"]
    assert main(["test", "--model", str(first), *arguments]) == 0
    early = told(capsys)["test_loss"]
    assert main(["test", "--model", str(finished), *arguments]) == 0
    assert told(capsys)["test_loss"] != early


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nowhere", "--text", "x"], "holds no model"),
        (["--model", "MODEL", "--text", "nowhere.txt"], "matches 0 files"),
        (["--model", "MODEL", "--text", "TEXT", "--share", "2"], "masking.share"),
        (["--model", "MODEL", "--text", "TEXT", "--tokenizer", "/"], "has no tokenizer.json"),
        (["--model", "MODEL", "--text", "TEXT", "--sequences", "words"], "data.sequences"),
    ],
)
def test_row_117_what_cannot_be_measured_is_told_in_one_line(
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (tmp_path / "text").write_text("The hacker wrote a program.\n\n" * 20)
    places = {"MODEL": str(finished), "TEXT": str(tmp_path / "text")}
    code = main(["test", *(places.get(argument, argument) for argument in arguments)])
    assert code == ExitType.USER_ERROR.code
    assert message in capsys.readouterr().err
