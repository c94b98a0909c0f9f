"""`evaluation.json`: what a model is worth, for people and programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmtrainer.contract.output import EVALUATION_FILE
from lmtrainer.durable import replace
from lmtrainer.evaluate.measure import Totals

VERSION = 1


def write(
    output: Path, totals: Totals, filled: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> str:
    """Write the report durably; returns its sha256. Infinite perplexities become null."""
    report = {
        "version": VERSION,
        "loss": totals.joint_loss,
        "perplexity": _finite(totals.perplexity),
        "unigramPerplexity": _finite(totals.unigram_perplexity),
        "accuracy": totals.accuracy,
        "predictions": int(totals.predictions),
        **_pairs(totals),
        "fill": list(filled),
        **facts,
    }
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return replace(output / EVALUATION_FILE, text).sha256


def _pairs(totals: Totals) -> dict[str, float | int]:
    if totals.pair_accuracy is None:
        return {}
    return {
        "mlmLoss": totals.mean_loss,
        "nspLoss": totals.mean_pair_loss,
        "nspAccuracy": totals.pair_accuracy,
        "pairs": int(totals.pairs),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
