"""Held-out measures: weighted by token, the same for any batch size and number of ranks."""

import math

import numpy as np
import pytest
import torch

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import EvaluationRows, prepare
from lmtrainer.evaluate import fill
from lmtrainer.evaluate.measure import Totals, measure, unigram_losses
from lmtrainer.models import build
from lmtrainer.models.objective import target_logits, to_device
from lmtrainer.parallel.world import World

CPU = torch.device("cpu")
ALONE = World(0, 0, 1, CPU)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measure")
    lines = [" ".join(f"word{(i * j) % 29}" for j in range(4 + i % 25)) for i in range(200)]
    (folder / "text.txt").write_text("\n\n".join(lines))
    plain = {
        "data": {"train": [str(folder / "text.txt")], "validation": {"share": 0.3}},
        "tokenizer": {"train": {"vocabSize": 300}},
        "model": {
            "type": "bert",
            "preset": "tiny",
            "config": {"layers": 1, "hiddenSize": 32, "heads": 2, "maxPositions": 32},
        },
        "phases": [{"name": "main", "steps": 1, "sequenceLength": 32, "globalBatchSize": 8}],
        "output": {"to": str(folder / "out")},
    }
    run = resolve(parse(RunConfig, plain), precision="fp32", threads=1)
    prepared = prepare(run, folder / "out", {})
    model = build.build("bert", run.model.architecture(), prepared.vocabulary, seed=0)
    return run, prepared, model


def totals(trained, rank=0, world=1, **sizes):
    run, prepared, model = trained
    rows = EvaluationRows(prepared, run, 0, **sizes).rows(rank, world)
    return measure(model, rows, run, ALONE, unigram_losses(prepared.counts))


def test_the_batch_size_does_not_matter(trained):
    large, small = totals(trained), totals(trained, max_tokens=40)
    assert large.predictions == small.predictions > 100
    assert large.perplexity == pytest.approx(small.perplexity, rel=1e-5)
    assert large.unigram_perplexity == pytest.approx(small.unigram_perplexity)
    assert large.accuracy == small.accuracy


def test_three_ranks_sum_to_one(trained):
    one = totals(trained, max_tokens=60)
    shares = [totals(trained, rank, 3, max_tokens=60) for rank in range(3)]
    assert all(share.predictions > 0 for share in shares)
    assert sum(s.predictions for s in shares) == one.predictions
    assert sum(s.loss for s in shares) == pytest.approx(one.loss, rel=1e-5)
    assert sum(s.baseline for s in shares) == pytest.approx(one.baseline)
    assert sum(s.correct for s in shares) == one.correct


def test_the_sums_are_those_counted_by_hand(trained):
    run, prepared, model = trained
    counts = prepared.counts
    loss = baseline = correct = 0.0
    for row in EvaluationRows(prepared, run, 0).rows(0, 1):
        with torch.no_grad():
            scores = target_logits(model.eval(), to_device(row, CPU)).double().numpy()
        for line, label in zip(scores, row.labels, strict=True):
            loss += math.log(np.exp(line - line[label]).sum())
            baseline -= math.log((counts[label] + 1) / (counts.sum() + len(counts)))
            correct += line.argmax() == label
    found = totals(trained)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert found.baseline == pytest.approx(baseline)
    assert found.correct == correct


def test_measuring_twice_gives_the_same_and_dropout_has_no_part(trained):
    _, _, model = trained
    model.train()
    assert totals(trained) == totals(trained)


def test_a_perplexity_beyond_a_float_is_infinite_and_no_error():
    assert Totals(1e6, 1.0, 0.0, 1.0).perplexity == math.inf


def test_every_mask_of_a_sentence_is_filled(trained):
    _, prepared, model = trained
    text = "word1 [MASK] word2 [MASK]."
    found = fill.fill(model, prepared.tokenizer, text, device=CPU)
    assert found["text"] == text
    assert "[MASK]" not in found["filled"]
    assert len(found["candidates"]) == 2
    for candidates in found["candidates"]:
        chances = [candidate["probability"] for candidate in candidates]
        assert len(chances) == 5
        assert chances == sorted(chances, reverse=True)
        assert 0 < sum(chances) <= 1
    first = found["candidates"][0][0]["token"]
    assert found["filled"].startswith(f"word1 {first} word2")


def test_each_mask_gets_the_word_that_is_likeliest_there(trained, monkeypatch):
    _, prepared, model = trained
    ids = [prepared.vocabulary.regular_ids[n] for n in (40, 50)]
    likely = torch.nn.functional.one_hot(torch.tensor(ids), prepared.vocabulary.size) * 50.0
    monkeypatch.setattr(fill, "target_logits", lambda model, row: likely)
    found = fill.fill(model, prepared.tokenizer, "[MASK] and [MASK]", device=CPU)
    words = [candidates[0]["token"] for candidates in found["candidates"]]
    assert words[0] != words[1]
    assert found["filled"] == f"{words[0]} and {words[1]}"
