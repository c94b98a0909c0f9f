"""Rows 53, 55, 56, 60, 99 and 114: losses on packed rows beside those of transformers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForPreTraining

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.config.model import ModelType
from lmtrainer.dataset.batches import Batch
from lmtrainer.models import build
from lmtrainer.models.objective import (
    Objective,
    pair_scores,
    target_hidden,
    target_logits,
    to_device,
)
from lmtrainer.train.engine import Engine, StepResult
from tests.rows.engines import ALONE, ARCHITECTURE, CPU, VOCABULARY

LENGTHS = (14, 9, 14, 5)
FAMILIES: tuple[ModelType, ...] = ("bert", "roberta", "groupbert", "gpt2")
PAIRED: tuple[ModelType, ...] = ("bert", "groupbert")


def pairs(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> Batch:
    """A row of pairs, some places of it to predict: more in one sequence than in another."""
    generator = np.random.default_rng(seed)
    total = sum(lengths)
    halves = [np.arange(n) >= n // 2 for n in lengths]
    targets = np.flatnonzero(generator.random(total) < 0.3)
    return Batch(
        tokens=generator.integers(5, 60, total),
        positions=np.concatenate([np.arange(n) for n in lengths]),
        lengths=lengths,
        targets=targets,
        labels=generator.integers(5, 60, len(targets)),
        segments=np.concatenate(halves).astype(np.int64),
        pair_labels=generator.integers(0, 2, len(lengths)),
    )


def padded(row: Batch, width: int) -> dict[str, torch.Tensor]:
    """The row as transformers takes it: a line each, filled up to `width`."""
    shape = (len(row.lengths), width)
    labels = np.full(len(row.tokens), -100)
    labels[row.targets] = row.labels
    filled = torch.arange(width) < torch.tensor(row.lengths)[:, None]

    def lines(values: Any, rest: int) -> torch.Tensor:
        found = torch.full(shape, rest)
        found[filled] = torch.from_numpy(np.asarray(values, dtype=np.int64))
        return found

    plain = {"input_ids": lines(row.tokens, 1), "attention_mask": filled.long()}
    plain["labels"] = lines(labels, -100)
    if row.segments is not None and row.pair_labels is not None:
        plain["token_type_ids"] = lines(row.segments, 0)
        plain["next_sentence_label"] = torch.from_numpy(row.pair_labels)
    return plain


def plain_model(kind: ModelType, folder: Path, auto: Any) -> tuple[Any, Any]:
    """Our model, and the same one as transformers loads it."""
    ours = build.build(
        kind, ARCHITECTURE, VOCABULARY, seed=3, pairs=auto is AutoModelForPreTraining
    ).eval()
    ours.save_pretrained(folder)
    return ours, auto.from_pretrained(folder).eval()


@pytest.mark.parametrize("kind", PAIRED)
@pytest.mark.parametrize("width", [14, 31])
def test_row_060_the_joint_loss_is_that_of_transformers(
    kind: ModelType, width: int, tmp_path: Path
) -> None:
    ours, theirs = plain_model(kind, tmp_path, AutoModelForPreTraining)
    row = pairs()
    with torch.inference_mode():
        expected = float(theirs(**padded(row, width)).loss)
        weight = len(row.labels) / len(row.lengths)
        found = Objective(ours)(to_device(row, CPU), weight)
    words, follows = float(found.words) / len(row.labels), float(found.pairs) / len(row.lengths)
    assert words + follows == pytest.approx(expected, abs=1e-6)
    assert float(found.total) / len(row.labels) == pytest.approx(expected, abs=1e-6)


def stepped(rows: list[Batch]) -> tuple[StepResult, list[torch.Tensor]]:
    plain = {
        "data": {"train": ["a.txt"]},
        "model": {"type": "bert"},
        "objective": "mlm+nsp",
        "phases": [{"name": "main", "steps": 10}],
        "output": {"to": "out"},
    }
    run = resolve(parse(RunConfig, plain), precision="fp32", threads=1)
    model = build.build("bert", ARCHITECTURE, VOCABULARY, seed=3, pairs=True)
    engine = Engine(model, run, ALONE, phase_index=0)
    result = engine.step(rows, step=0, learning_rate=1e-2, stop=False)
    return result, [p.detach() for p in model.parameters()]


def test_row_060_and_075_the_joint_step_is_the_same_however_the_batch_is_cut() -> None:
    whole = pairs()
    parts, begin = [], 0
    for number, length in enumerate(whole.lengths):
        here = slice(begin, begin + length)
        mine = (whole.targets >= begin) & (whole.targets < begin + length)
        assert whole.segments is not None and whole.pair_labels is not None
        part = Batch(
            tokens=whole.tokens[here],
            positions=whole.positions[here],
            lengths=(length,),
            targets=whole.targets[mine] - begin,
            labels=whole.labels[mine],
            segments=whole.segments[here],
            pair_labels=whole.pair_labels[number : number + 1],
        )
        parts.append(part)
        begin += length
    once, weights = stepped([whole])
    cut, others = stepped(parts)
    assert once.loss == pytest.approx(cut.loss, abs=1e-5)
    assert once.gradient_norm == pytest.approx(cut.gradient_norm, rel=1e-5)
    for one, other in zip(weights, others, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_row_060_the_step_follows_the_gradient_of_the_joint_loss(tmp_path: Path) -> None:
    _, theirs = plain_model("bert", tmp_path, AutoModelForPreTraining)
    row = pairs()
    assert len(row.labels) != len(row.lengths)
    theirs(**padded(row, 31)).loss.backward()
    gradients = [p.grad for p in theirs.parameters() if p.grad is not None]
    expected = float(torch.nn.utils.get_total_norm(gradients))
    result, _ = stepped([row])
    assert result.gradient_norm == pytest.approx(expected, rel=1e-4)


def test_row_114_a_step_tells_both_parts_of_its_loss_and_how_many_pairs_were_right() -> None:
    row = pairs()
    result, _ = stepped([row])
    assert result.pairs is not None
    assert result.pairs.words_loss + result.pairs.loss == pytest.approx(result.loss, abs=1e-6)
    model = build.build("bert", ARCHITECTURE, VOCABULARY, seed=3, pairs=True)
    logits = pair_scores(model, target_hidden(model, to_device(row, CPU))[1])
    assert logits is not None
    by_hand = (logits.argmax(-1).numpy() == row.pair_labels).mean()
    assert result.pairs.accuracy == pytest.approx(by_hand)


def test_a_batch_with_nothing_to_predict_still_trains_its_pairs() -> None:
    row = pairs()
    none = np.empty(0, dtype=np.int64)
    result, _ = stepped([dataclasses.replace(row, targets=none, labels=none)])
    assert result.pairs is not None
    assert (result.targets, result.pairs.words_loss) == (0, 0)
    assert result.loss == result.pairs.loss > 0
    assert result.gradient_norm > 0


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("width", [14, 31])
def test_row_053_and_row_099_padding_changes_neither_scores_nor_loss(
    kind: ModelType, width: int, tmp_path: Path
) -> None:
    auto = AutoModelForCausalLM if kind == "gpt2" else AutoModelForMaskedLM
    ours, theirs = plain_model(kind, tmp_path, auto)
    full = pairs()
    row = Batch(full.tokens, full.positions, full.lengths, full.targets, full.labels)
    lines = padded(row, width)
    # A line of nothing but padding, as a batch of fixed size may end in.
    empty = {name: torch.cat([lines[name], lines[name][:1]]) for name in lines}
    empty["labels"][-1] = -100
    with torch.inference_mode():
        logits = theirs(input_ids=empty["input_ids"], attention_mask=empty["attention_mask"]).logits
        packed = target_logits(ours, to_device(row, CPU))
        loss = Objective(ours)(to_device(row, CPU)).words / len(row.labels)
    wanted = empty["labels"] != -100
    torch.testing.assert_close(packed, logits[wanted], atol=1e-5, rtol=1e-5)
    mean = F.cross_entropy(logits.flatten(0, 1), empty["labels"].flatten())
    assert float(loss) == pytest.approx(float(mean), abs=1e-5)


@pytest.mark.parametrize("kind", FAMILIES)
def test_row_055_scoring_only_what_is_predicted_changes_no_loss(
    kind: ModelType, tmp_path: Path
) -> None:
    auto = AutoModelForCausalLM if kind == "gpt2" else AutoModelForMaskedLM
    ours, theirs = plain_model(kind, tmp_path, auto)
    full = pairs((14,))
    row = Batch(full.tokens, full.positions, full.lengths, full.targets, full.labels)
    module = Objective(ours)
    found = module(to_device(row, CPU))
    assert target_logits(ours, to_device(row, CPU)).shape == (len(row.labels), VOCABULARY.size)
    every = theirs(input_ids=torch.from_numpy(row.tokens)[None]).logits[0]
    labels = torch.full((14,), -100)
    labels[row.targets] = torch.from_numpy(row.labels)
    expected = F.cross_entropy(every, labels, reduction="sum")
    assert float(found.words) == pytest.approx(float(expected.detach()), abs=1e-4)
    found.total.backward()
    expected.backward()
    mine, other = ours.get_input_embeddings(), theirs.get_input_embeddings()
    torch.testing.assert_close(mine.weight.grad, other.weight.grad, atol=1e-5, rtol=1e-4)


def test_row_056_the_causal_loss_is_that_of_the_model_that_shifts_itself(tmp_path: Path) -> None:
    ours, theirs = plain_model("gpt2", tmp_path, AutoModelForCausalLM)
    tokens = np.random.default_rng(0).integers(5, 60, 14)
    targets = np.arange(13)
    row = Batch(tokens, np.arange(14), (14,), targets, tokens[1:])
    ids = torch.from_numpy(tokens)[None]
    with torch.inference_mode():
        found = float(Objective(ours)(to_device(row, CPU)).words) / 13
        shifted = theirs(input_ids=ids, labels=ids)
        by_hand = F.cross_entropy(shifted.logits[0, :-1], ids[0, 1:])
    assert found == pytest.approx(float(shifted.loss), abs=1e-5)
    assert found == pytest.approx(float(by_hand), abs=1e-5)
