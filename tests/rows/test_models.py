"""Rows 11 to 13, 61, 68, 105 and 106: model families, and where their weights come from."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from lmtrainer.config.architecture import (
    PRESETS,
    ArchitectureChanges,
    ModelType,
)
from lmtrainer.config.model import ModelConfig
from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.dataset.batches import Batch
from lmtrainer.faults import UserError
from lmtrainer.models import build
from lmtrainer.models.objective import DeviceBatch, Objective, to_device
from lmtrainer.optim.build import build as build_optimizer
from lmtrainer.optim.update import update
from lmtrainer.vocab import Vocabulary
from tests.rows.engines import ARCHITECTURE, CPU, VOCABULARY

FAMILIES: tuple[ModelType, ...] = ("bert", "roberta", "groupbert", "gpt2")


def batch(seed: int = 0, highest: int = 60, lengths: tuple[int, ...] = (16, 12)) -> DeviceBatch:
    generator = np.random.default_rng(seed)
    total = sum(lengths)
    tokens = generator.integers(5, highest, total)
    targets = np.arange(0, total, 2)
    return to_device(
        Batch(
            tokens=tokens,
            positions=np.concatenate([np.arange(n) for n in lengths]),
            lengths=lengths,
            targets=targets,
            labels=generator.integers(5, highest, len(targets)),
        ),
        CPU,
    )


def mean_loss(model: Any, rows: DeviceBatch) -> float:
    with torch.inference_mode():
        return float(Objective(model.eval())(rows).total) / len(rows.labels)


def trained(model: Any, rows: DeviceBatch, steps: int, rate: float = 1e-3) -> Any:
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.01))
    module = Objective(model.train())
    for _ in range(steps):
        module(rows).total.backward()
        scale = 1 / len(rows.labels)
        update(optimizer, model.parameters(), learning_rate=rate, scale=scale, clip_norm=1.0)
    return model


@pytest.mark.parametrize(
    ("family", "preset", "millions"),
    [
        ("bert", "base", 109.5),
        ("bert", "large", 335.2),
        ("roberta", "base", 124.7),
        ("roberta", "large", 355.4),
        ("gpt2", "small", 124.4),
    ],
)
def test_row_011_a_named_size_has_the_published_number_of_parameters(
    family: ModelType, preset: str, millions: float
) -> None:
    size = {"bert": 30522, "roberta": 50265, "gpt2": 50257}[family]
    words = Vocabulary(size=size, pad=1, cls=0, sep=2, mask=4, eos=2)
    with torch.device("meta"):
        model = build.build(family, PRESETS[family][preset], words, seed=0)
    assert model.num_parameters() / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_row_012_from_scratch_knows_nothing_and_a_warm_start_what_was_saved(
    family: ModelType, tmp_path: Path
) -> None:
    model, rows = build.build(family, ARCHITECTURE, VOCABULARY, seed=0), batch()
    assert mean_loss(model, rows) == pytest.approx(math.log(VOCABULARY.size), rel=0.05)
    trained(model, rows, 20)
    model.half().save_pretrained(tmp_path)
    warm = build.from_folder(family, tmp_path)
    assert {p.dtype for p in warm.parameters()} == {torch.float32}
    assert mean_loss(warm, rows) == pytest.approx(mean_loss(model.float(), rows), abs=1e-5)


def test_row_013_a_larger_tokenizer_gets_new_embeddings_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    build.build("bert", ARCHITECTURE, VOCABULARY, seed=0).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"has 64 tokens, .*resizeEmbeddings"):
        build.from_folder("bert", tmp_path, vocabulary_size=64)
    one, two = (
        build.from_folder("bert", tmp_path, vocabulary_size=64, resize=True, seed=3)
        for _ in range(2)
    )
    assert torch.equal(one.get_input_embeddings().weight, two.get_input_embeddings().weight)
    rows = batch(highest=64)
    assert int(rows.tokens.max()) > 60
    before = mean_loss(one, rows)
    assert mean_loss(trained(one, rows, 20), rows) < before
    smaller = build.from_folder("bert", tmp_path, vocabulary_size=50, resize=True)
    assert smaller.config.vocab_size == 60, "never cut"


def test_roberta_needs_a_token_for_padding() -> None:
    with pytest.raises(UserError, match="tokenizer: has no pad token"):
        build.build("roberta", ARCHITECTURE, dataclasses.replace(VOCABULARY, pad=None), seed=0)


def test_row_061_roberta_learns() -> None:
    model, rows = build.build("roberta", ARCHITECTURE, VOCABULARY, seed=0), batch(lengths=(16,))
    assert mean_loss(trained(model, rows, 80, rate=3e-3), rows) < math.log(VOCABULARY.size) / 2


def test_row_105_weights_that_are_missing_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build.build("bert", ARCHITECTURE, VOCABULARY, seed=0)
    weights = model.state_dict()
    head = "cls.predictions.transform.dense.weight"
    body = "bert.encoder.layer.1.output.dense.bias"
    model.config.save_pretrained(tmp_path)
    torch.save({k: v for k, v in weights.items() if k != head}, tmp_path / "pytorch_model.bin")
    build.from_folder("bert", tmp_path)
    assert head in capsys.readouterr().out
    torch.save({k: v for k, v in weights.items() if k != body}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=body):
        build.from_folder("bert", tmp_path)


class Program:
    """What a pickle may do to who opens it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('the pickle was run')",))


def test_row_106_old_files_load_as_data_and_are_saved_as_safetensors(tmp_path: Path) -> None:
    model, rows = build.build("bert", ARCHITECTURE, VOCABULARY, seed=0), batch()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    found = build.from_folder("bert", tmp_path)
    assert mean_loss(found, rows) == pytest.approx(mean_loss(model, rows), abs=1e-6)
    found.save_pretrained(tmp_path / "new")
    assert load_file(tmp_path / "new" / "model.safetensors")
    AutoModelForMaskedLM.from_pretrained(tmp_path / "new")
    torch.save({"x": Program()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="holds more than tensors"):
        build.from_folder("bert", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(UserError, match="is damaged"):
        build.from_folder("bert", tmp_path)


def test_row_106_old_files_in_parts_are_put_together(tmp_path: Path) -> None:
    model, rows = build.build("bert", ARCHITECTURE, VOCABULARY, seed=0), batch()
    model.config.save_pretrained(tmp_path)
    weights = list(model.state_dict().items())
    names = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    for name, part in zip(names, (weights[::2], weights[1::2]), strict=True):
        torch.save(dict(part), tmp_path / name)
    index = {"weight_map": {key: names[n % 2] for n, (key, _) in enumerate(weights)}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    found = build.from_folder("bert", tmp_path)
    assert mean_loss(found, rows) == pytest.approx(mean_loss(model, rows), abs=1e-6)
    (tmp_path / names[1]).unlink()
    with pytest.raises(UserError, match=f"has neither model.safetensors nor {names[1]}"):
        build.from_folder("bert", tmp_path)


@pytest.mark.parametrize(
    ("family", "word"), [("bert", "hidden_act"), ("gpt2", "activation_function")]
)
def test_row_010_a_saved_model_takes_other_habits_but_no_other_sizes(
    family: ModelType, word: str, tmp_path: Path
) -> None:
    made = dataclasses.replace(ARCHITECTURE, activation="relu", dropout=0.2)
    build.build(family, made, VOCABULARY, seed=0).save_pretrained(tmp_path)
    assert getattr(build.from_folder(family, tmp_path).config, word) == "relu"
    changes = ArchitectureChanges(activation="gelu", layer_norm_epsilon=0.001, dropout=0.0)
    warm = build.from_folder(family, tmp_path, habits=changes.habits())
    norm = next(m for m in warm.modules() if isinstance(m, torch.nn.LayerNorm))
    assert (getattr(warm.config, word), norm.eps) == ("gelu", 0.001)
    assert {m.p for m in warm.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}
    (told,) = ModelConfig(
        type=family, from_="x", config=ArchitectureChanges(hidden_size=64)
    ).mistakes()
    assert str(told).startswith("from: a saved model keeps its sizes")
