"""The results in the files and words of transformers' example scripts, for whoever reads those:
`all_results.json`, its two parts, and `eval_results_lm.txt`. Called by the stage `evaluate`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lmtrainer.durable import replace
from lmtrainer.evaluate.measure import Totals

TRAIN_FILE = "train_results.json"
EVAL_FILE = "eval_results.json"
ALL_FILE = "all_results.json"
TEXT_FILE = "eval_results_lm.txt"
FILES = (TRAIN_FILE, EVAL_FILE, ALL_FILE, TEXT_FILE)


def write(output: Path, totals: Totals, metrics: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Write all four durably; returns what all_results.json holds. A number that is not finite
    becomes null in JSON."""
    trained, measured = _training(metrics), _evaluation(totals)
    for name, values in (
        (TRAIN_FILE, trained),
        (EVAL_FILE, measured),
        (ALL_FILE, {**trained, **measured}),
    ):
        replace(output / name, json.dumps(values, indent=1, allow_nan=False) + "\n")
    replace(output / TEXT_FILE, f"perplexity = {totals.perplexity}\n")
    return {**trained, **measured}


def held_out(totals: Totals) -> dict[str, float]:
    """A measurement under the names that it has in metrics.jsonl."""
    found = {
        "heldOutLoss": totals.joint_loss,
        "heldOutPerplexity": totals.perplexity,
        "heldOutAccuracy": totals.accuracy,
    }
    if totals.pair_accuracy is not None:
        found["heldOutMlmLoss"] = totals.mean_loss
        found["heldOutNspLoss"] = totals.mean_pair_loss
        found["heldOutNspAccuracy"] = totals.pair_accuracy
    return found


def _training(metrics: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over the steps of all phases; the loss is the mean over all targets."""
    loss = seconds = 0.0
    targets = tokens = steps = 0
    for row in metrics:
        if isinstance(row.get("loss"), int | float) and isinstance(row.get("targets"), int):
            loss += row["loss"] * row["targets"]
            targets += row["targets"]
            tokens += row.get("tokens") or 0
            seconds += row.get("seconds") or 0.0
            steps += 1
    return {
        "train_loss": loss / targets if targets else None,
        "train_steps": steps,
        "train_tokens": tokens,
        "train_runtime": round(seconds, 3),
        "train_steps_per_second": round(steps / seconds, 3) if seconds else None,
    }


def _evaluation(totals: Totals) -> dict[str, Any]:
    values = {
        "eval_loss": totals.joint_loss,
        "eval_accuracy": totals.accuracy,
        "eval_predictions": int(totals.predictions),
        "perplexity": totals.perplexity,
    }
    if totals.pair_accuracy is not None:
        values["eval_mlm_loss"] = totals.mean_loss
        values["eval_nsp_loss"] = totals.mean_pair_loss
        values["eval_nsp_accuracy"] = totals.pair_accuracy
        values["eval_pairs"] = int(totals.pairs)
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
