"""Rows 112 and 118: perplexity, and the files in which the earlier kits look for it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from lmtrainer.evaluate import results
from lmtrainer.evaluate.measure import Totals

METRICS = [
    {"step": 1, "loss": 4.0, "targets": 10, "tokens": 100, "seconds": 0.5},
    {"step": 1, "heldOutLoss": 3.0},
    {"step": 2, "loss": 2.0, "targets": 30, "tokens": 300, "seconds": 0.5},
]


def test_row_112_perplexity_is_weighted_by_token_and_never_overflows() -> None:
    totals = Totals(loss=30.0, baseline=50.0, correct=4.0, predictions=10.0)
    assert totals.perplexity == pytest.approx(math.exp(3))
    assert Totals(loss=1e6, baseline=1.0, correct=0.0, predictions=1.0).perplexity == math.inf


def test_row_118_the_files_hold_their_keys(tmp_path: Path) -> None:
    results.write(tmp_path, Totals(30.0, 50.0, 4.0, 10.0), METRICS)
    found = {
        name: json.loads((tmp_path / f"{name}_results.json").read_text())
        for name in ("train", "eval", "all")
    }
    assert found["all"] == {**found["train"], **found["eval"]}
    assert found["train"]["train_loss"] == pytest.approx(2.5)
    assert found["train"]["train_steps"] == 2
    assert found["eval"]["eval_loss"] == pytest.approx(3.0)
    assert found["eval"]["eval_accuracy"] == pytest.approx(0.4)
    assert found["all"]["perplexity"] == pytest.approx(math.exp(3))
    name, value = (tmp_path / "eval_results_lm.txt").read_text().split(" = ")
    assert (name, float(value)) == ("perplexity", pytest.approx(math.exp(3)))


def test_row_118_what_is_not_finite_is_null(tmp_path: Path) -> None:
    results.write(tmp_path, Totals(1e6, 1.0, 0.0, 1.0), [])
    found = json.loads((tmp_path / "all_results.json").read_text())
    assert found["perplexity"] is None
    assert found["train_loss"] is None
