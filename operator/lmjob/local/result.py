"""What came out of a job, for people: read from the folder of the results, without the trainer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmtrainer.config import CommandConfig, Work
from lmtrainer.contract.loading import loading_lines
from lmtrainer.contract.output import EVALUATION_FILE, MODEL_FOLDER, PICTURE_FILE


def result_lines(output: Path, run: Work) -> Iterator[str]:
    """The figures, the filled-in sentences, and where the model lies and how to load it; of a
    program of the user's own, its folder."""
    if isinstance(run, CommandConfig):
        yield f"results          {_near(output)}"
        yield from _copy(run)
        return
    found = _read(output / EVALUATION_FILE)
    yield from _figures(found)
    yield from _sentences(found)
    curve = output / str(found.get("lossCurve", PICTURE_FILE))
    if curve.is_file():
        yield f"loss curve       {_near(curve)}"
    model = output / str(found.get("model", MODEL_FOLDER))
    yield f"model            {_near(model)}"
    yield from _copy(run)
    yield "load it with"
    yield from (f"  {line}" for line in loading_lines(run, _near(model)))


def _copy(run: Work) -> Iterator[str]:
    """With `resume: never` only the trainer knows whether it lies beside that."""
    if run.output.copy_to is not None and run.checkpoint.resume != "never":
        yield f"copied to        {run.output.copy_to}"


def _figures(found: Mapping[str, Any]) -> Iterator[str]:
    perplexity, unigram = found.get("perplexity"), found.get("unigramPerplexity")
    if isinstance(perplexity, int | float):
        beside = ""
        if isinstance(unigram, int | float):
            beside = f"   (unigram baseline {unigram:,.1f})"
        yield f"perplexity       {perplexity:,.1f}{beside}"
    follows = found.get("nspAccuracy")
    if isinstance(follows, int | float):
        yield f"pairs right      {follows:.1%}   ({found.get('pairs', 0):,} pairs of sentences)"
    accuracy, predictions = found.get("accuracy"), found.get("predictions")
    if isinstance(accuracy, int | float):
        of = f"   ({predictions:,} predictions)" if isinstance(predictions, int) else ""
        yield f"masked accuracy  {accuracy:.1%}{of}"


def _sentences(found: Mapping[str, Any]) -> Iterator[str]:
    sentences = found.get("fill")
    shown = [s for s in sentences if isinstance(s, Mapping)] if isinstance(sentences, list) else []
    if shown:
        yield "filled in"
    for sentence in shown:
        yield f"  {sentence.get('text', '')}"
        yield f"    -> {sentence.get('filled', '')}"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _near(path: Path) -> str:
    """A path as short as it may be said from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
