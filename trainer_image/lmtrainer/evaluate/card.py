"""`README.md` in the folder of the model: its card, with where it comes from, what it is worth and
how to load it. Called by the stage `evaluate`.

What a user wrote (locations, names) stands in it as text: never as markup, never as YAML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lmtrainer import __version__
from lmtrainer.config import RunConfig
from lmtrainer.config.model import OBJECTIVES, Objective
from lmtrainer.config.phase import Phase
from lmtrainer.contract.loading import loading_lines
from lmtrainer.dataset import Prepared
from lmtrainer.durable import replace
from lmtrainer.evaluate.measure import Totals

FILE = "README.md"

Row = tuple[object, ...]

FOLDER = "FOLDER"
"""In place of a path that nobody knows who reads the card."""

_TASKS: Mapping[Objective, str] = MappingProxyType({"mlm": "fill-mask", "clm": "text-generation"})
"""What model hubs call that which a family is trained for."""


def write(
    folder: Path,
    run: RunConfig,
    prepared: Prepared,
    totals: Totals,
    results: Mapping[str, Any],
    *,
    parameters: int,
) -> None:
    """Write the card of the model in `folder` durably. `results` is what all_results.json holds,
    `parameters` the count of trained numbers."""
    text = "\n".join(_lines(run, prepared, totals, results, parameters))
    replace(folder / FILE, text + "\n")


def _lines(
    run: RunConfig,
    prepared: Prepared,
    totals: Totals,
    results: Mapping[str, Any],
    parameters: int,
) -> Iterator[str]:
    assert run.model.type is not None, "the plan resolves it"
    yield from ("---", *_front(run, results), "---", "")
    yield from (f"# {run.model.type}, {run.objective}", "")
    yield (
        "Trained from scratch."
        if run.model.from_ is None
        else (f"Trained on from {code(run.model.from_)}.")
    )
    yield from ("", "## How to load it", "", f"{FOLDER} is the one that this file lies in.", "")
    yield from ("```python", *loading_lines(run, FOLDER), "```", "")
    yield from ("## Data", "", *_table(("", "text", "tokens"), _data(run, prepared)), "")
    yield from ("## Results on the held-out text", "")
    yield from (*_table(("", "value"), _results(totals, results)), "")
    yield from ("## Model", "", *_table(("", ""), _model(run, prepared, parameters)), "")
    yield from ("## Training", "", *_table(_PHASE_COLUMNS, map(_phase, run.phases)), "")
    yield from (*_table(("", ""), _training(run, results)), "")
    yield f"Made by lmtrainer {__version__}."


def _front(run: RunConfig, results: Mapping[str, Any]) -> Iterator[str]:
    """What hubs read: one JSON value a line, which is YAML as well."""
    assert run.model.type is not None
    task = _TASKS[OBJECTIVES[run.model.type]]
    metrics = [
        {"type": name, "value": value}
        for name in ("perplexity", "eval_loss", "eval_accuracy", "eval_nsp_accuracy")
        if (value := results.get(name)) is not None
    ]
    dataset = {"name": ", ".join(run.data.train), "type": "text"}
    result = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
    values = {
        "library_name": "transformers",
        "pipeline_tag": task,
        "tags": ["lmtrainer", run.model.type, run.objective],
        "model-index": [{"name": run.model.type, "results": [result]}],
    }
    for name, value in values.items():
        yield f"{name}: {_yaml(value)}"


def _data(run: RunConfig, prepared: Prepared) -> Iterator[Row]:
    held = run.data.validation
    apart = _codes(held.files) if held.files else f"{held.share:g} of the documents"
    yield "training", _codes(run.data.train), f"{len(prepared.train):,}"
    yield "held out", apart, f"{len(prepared.validation):,}"


def _results(totals: Totals, results: Mapping[str, Any]) -> Iterator[Row]:
    yield "loss of a token (nats)", _number(totals.mean_loss)
    yield "perplexity", _number(totals.perplexity)
    yield "perplexity of the unigram", _number(totals.unigram_perplexity)
    yield "accuracy of the first choice", _number(totals.accuracy)
    yield "predictions", f"{int(totals.predictions):,}"
    if totals.pair_accuracy is not None:
        yield "loss of a pair of sentences (nats)", _number(totals.mean_pair_loss)
        yield "accuracy of pairs of sentences", _number(totals.pair_accuracy)
    yield "training loss, mean of all steps", _number(results.get("train_loss"))


def _model(run: RunConfig, prepared: Prepared, parameters: int) -> Iterator[Row]:
    yield "parameters", f"{parameters:,}"
    yield "vocabulary", f"{prepared.vocabulary.size:,}"
    sizes = run.model.sizes()
    if sizes is not None:
        yield "layers", sizes.layers
        yield "hidden size", sizes.hidden_size
        yield "heads", sizes.heads
        yield "positions", sizes.max_positions


_PHASE_COLUMNS = ("phase", "steps", "sequences", "longest", "learning rate", "schedule")


def _phase(phase: Phase) -> Row:
    length = f"{phase.epochs:g} epochs" if phase.steps is None else f"{phase.steps:,}"
    rate = f"{phase.learning_rate:g}"
    return (
        code(phase.name),
        length,
        phase.global_batch_size,
        phase.sequence_length,
        rate,
        phase.schedule,
    )


def _training(run: RunConfig, results: Mapping[str, Any]) -> Iterator[Row]:
    yield "optimizer", run.optimizer.type
    yield "weight decay", run.optimizer.weight_decay
    yield "precision", run.precision
    yield "seed", run.seed
    if run.objective != "clm":
        yield "masked share", f"{run.masking.share:g}"
    yield "steps", f"{results.get('train_steps') or 0:,}"
    yield "tokens", f"{results.get('train_tokens') or 0:,}"
    yield "seconds", results.get("train_runtime")


def _table(head: Row, rows: Iterable[Row]) -> Iterator[str]:
    yield _cells(head)
    yield _cells("---" for _ in head)
    yield from map(_cells, rows)


def _cells(values: Iterable[object]) -> str:
    return f"| {' | '.join('' if value is None else str(value) for value in values)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4f}" if math.isfinite(value) else "too large"


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(map(code, texts))


def code(text: str) -> str:
    """A text as a code span, in which nothing is markup, on one line and safe in a table."""
    line = "".join(c if c.isprintable() else " " for c in text).strip() or " "
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}".replace("|", "\\|")


def _yaml(value: object) -> str:
    """JSON whose strings every reader of YAML takes alike: all that is not printable is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)
