"""Rows 109, 111, 115, 121 and 122: what a run measures, and what it tells of it."""

from __future__ import annotations

import dataclasses
import math
import socket
import sys
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmtrainer.config import scores
from lmtrainer.config.architecture import Architecture
from lmtrainer.config.evaluation import EvaluateConfig
from lmtrainer.contract.reports import Position
from lmtrainer.dataset import EvaluationRows, open_prepared
from lmtrainer.dataset.batches import Batch
from lmtrainer.evaluate import events
from lmtrainer.evaluate.measure import measure, unigram_losses
from lmtrainer.models import build
from lmtrainer.output import MetricsLog
from lmtrainer.vocab import Vocabulary
from tests.rows import small_run
from tests.rows.engines import ALONE
from tests.rows.small_run import no_fence, series
from tests.runs import metrics


def test_row_109_evaluations_are_at_the_expected_steps(finished: Path) -> None:
    rows = metrics(finished)
    measured = [(row["phase"], row["step"]) for row in rows if "heldOutLoss" in row]
    assert measured == [("short", 2), ("short", 4), ("long", 2)]
    assert [step for step, _ in series(finished)["eval/loss"]] == [2, 4, 6]


@pytest.mark.parametrize("chunks", [1, 3])
def test_row_111_neither_rows_nor_logits_are_kept(
    finished: Path, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    run = dataclasses.replace(small_run.run_of(finished.parent), loss_chunks=chunks)
    prepared = open_prepared(run, finished, {})
    model = build.from_folder("bert", finished / "model")
    alive: dict[str, set[int]] = {"rows": set(), "logits": set()}
    most = {"rows": 0, "logits": 0, "numbers": 0}

    def follow(thing: Any, kind: str) -> None:
        alive[kind].add(id(thing))
        weakref.finalize(thing, alive[kind].discard, id(thing))
        most[kind] = max(most[kind], len(alive[kind]))

    def rows() -> Iterator[Batch]:
        for row in EvaluationRows(prepared, run, 1, max_tokens=200).rows(0, 1):
            follow(row, "rows")
            yield row

    def made(module: Any, given: Any, out: torch.Tensor) -> None:
        follow(out, "logits")
        most["numbers"] = max(most["numbers"], out.numel())

    unigram = unigram_losses(prepared.counts)
    whole = measure(model, rows(), run, ALONE, unigram)
    model.get_output_embeddings().register_forward_hook(made)
    monkeypatch.setattr(scores, "SCORES_AT_ONCE", 7 * prepared.vocabulary.size)
    found = measure(model, rows(), run, ALONE, unigram)
    assert found.predictions == whole.predictions > 100
    assert found.loss == pytest.approx(whole.loss, rel=1e-6)
    assert found.correct == whole.correct
    assert 1 <= most["rows"] <= 2
    assert 1 <= most["logits"] <= 2
    assert 0 < most["numbers"] <= 7 * prepared.vocabulary.size


def test_row_115_masked_accuracy_equals_a_count_by_hand() -> None:
    words = Vocabulary(size=40, pad=0, cls=1, sep=2, mask=3)
    sizes = Architecture(
        layers=1,
        hidden_size=16,
        heads=2,
        intermediate_size=32,
        max_positions=32,
        dropout=0.0,
        attention_dropout=0.0,
    )
    model = build.build("bert", sizes, words, seed=1).eval()
    generator = np.random.default_rng(0)
    sequences = [generator.integers(4, 40, length) for length in (9, 12, 20)]
    places = [np.array([1, 4]), np.array([2, 3, 11]), np.array([0, 7, 8, 19])]
    hits = count = 0
    labels = []
    for index, (tokens, where) in enumerate(zip(sequences, places, strict=True)):
        with torch.inference_mode():
            ids = torch.from_numpy(tokens)[None]
            best = model(input_ids=ids, lengths=(len(tokens),)).logits[0].argmax(-1).numpy()
        # Every second right answer is the model's first choice, the others are not.
        right = np.where((np.arange(len(where)) + index) % 2, best[where], (best[where] + 1) % 40)
        labels.append(right)
        hits += int((best[where] == right).sum())
        count += len(where)
    begins = np.cumsum([0, 9, 12])
    row = Batch(
        tokens=np.concatenate(sequences),
        positions=np.concatenate([np.arange(len(s)) for s in sequences]),
        lengths=(9, 12, 20),
        targets=np.concatenate([p + b for p, b in zip(places, begins, strict=True)]),
        labels=np.concatenate(labels),
    )
    run: Any = types.SimpleNamespace(precision="fp32", evaluate=EvaluateConfig(), loss_chunks=1)
    totals = measure(model, [row], run, ALONE, np.zeros(40))
    assert 0 < hits < count
    assert (totals.correct, totals.predictions) == (hits, count)
    assert totals.accuracy == pytest.approx(hits / count)


def test_row_121_the_first_step_is_there_and_what_is_no_number_is_null(
    finished: Path, tmp_path: Path
) -> None:
    first = metrics(finished)[0]
    assert (first["step"], first["phase"]) == (1, "short")
    assert math.isfinite(first["loss"])
    log = MetricsLog(tmp_path, resumed=None)
    position = Position(phase_index=0, step=1, phase="main")
    log.append(position, loss=math.nan, gradientNorm=math.inf, learningRate=0.1)
    log.close()
    row = metrics(tmp_path)[0]
    assert (row["loss"], row["gradientNorm"]) == (None, None)
    events.write(tmp_path, [row], fence=no_fence)
    assert set(series(tmp_path)) == {"train/learning_rate"}


def test_row_122_nothing_is_sent_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"wandb.{name} was asked for")

    def refuse(*given: Any, **more: Any) -> Any:
        raise AssertionError(f"a connection was asked for: {given}")

    monkeypatch.setitem(sys.modules, "wandb", Refusing("wandb"))
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    phases = [{"name": "main", "steps": 2, "sequenceLength": 16, "globalBatchSize": 4}]
    output = small_run.carry_out(tmp_path, phases=phases)
    assert len(series(output)["train/loss"]) == 2
