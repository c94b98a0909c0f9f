"""`lmtrainer test --model FOLDER --text FILE...`: what a saved model is worth on any text.

The measurement is that of the stage `evaluate`: weighted by token, the same for any batch size, and
every time the same masks.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtrainer.commands.running import carry_out
from lmtrainer.contract.output import MODEL_CONFIG_FILE

if TYPE_CHECKING:
    from lmtrainer.config import ResolvedRun
    from lmtrainer.evaluate.measure import Totals

FILLER = "filler.txt"

LONGEST = 512
"""Of a sequence, where neither the user nor the model's folder says more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="FOLDER", help="a model, a checkpoint, or a run's output"
    )
    parser.add_argument("--text", required=True, nargs="+", metavar="FILE", help="files, patterns")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="left out, the model's own")
    parser.add_argument("--sequence-length", type=int, metavar="N", help="as it was trained")
    parser.add_argument("--documents", metavar="RULE", help="as data.documents of a job")
    parser.add_argument("--sequences", metavar="RULE", help="as data.sequences of a job")
    parser.add_argument("--text-column", metavar="NAME", help="of tables: left out, text")
    parser.add_argument("--encoding", default="utf-8", help="of the files")
    parser.add_argument("--share", type=float, default=0.15, help="of the tokens that is masked")
    parser.add_argument("--seed", type=int, default=42, help="of the masks")
    parser.add_argument("--work", metavar="FOLDER", help="where the text is encoded, for a while")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(given: argparse.Namespace) -> int:
    """Measure and print `test_loss`, `test_ppl`, `test_accuracy`, `test_predictions`."""
    return carry_out(lambda: _print(results(given), as_json=given.json))


def results(given: argparse.Namespace) -> dict[str, Any]:
    """The measurement, under the names that are printed. UserError for what cannot be measured."""
    with tempfile.TemporaryDirectory(prefix="lmtrainer-test-", dir=given.work) as work:
        totals = _measured(given, Path(work))
    return {
        "test_loss": totals.mean_loss,
        "test_ppl": totals.perplexity,
        "test_accuracy": totals.accuracy,
        "test_predictions": int(totals.predictions),
    }


def _measured(given: argparse.Namespace, work: Path) -> Totals:
    from lmtrainer.commands.places import model_in
    from lmtrainer.dataset import EvaluationRows, prepare
    from lmtrainer.evaluate.measure import measure, unigram_losses
    from lmtrainer.models import build
    from lmtrainer.parallel.world import alone

    folder = model_in(Path(given.model))
    run = _run_of(given, folder, work)
    assert run.model.type is not None
    words = (f"{number} words\n" for number in range(2 * run.phases[0].sequence_length))
    (work / FILLER).write_text("".join(words), encoding=run.data.encoding)
    prepared = prepare(run, work, {})
    world = alone()
    model = build.from_folder(run.model.type, folder, vocabulary_size=prepared.vocabulary.size)
    rows = EvaluationRows(prepared, run, 0).rows(0, 1)
    return measure(model.to(world.device), rows, run, world, unigram_losses(prepared.counts))


def _run_of(given: argparse.Namespace, folder: Path, work: Path) -> ResolvedRun:
    """A configuration with the text held out. MistakesError for what cannot be."""
    from lmtrainer.commands.places import family_of, tokenizer_for, trained_length
    from lmtrainer.config import RunConfig, parse, resolve

    length = given.sequence_length or trained_length(folder) or _positions(folder)
    plain = {
        "seed": given.seed,
        "precision": "fp32",
        "data": {
            # A dataset has to have something to train on; nothing is trained on it.
            "train": [str(work / FILLER)],
            "validation": {"files": given.text},
            "documents": given.documents,
            "sequences": given.sequences,
            "textColumn": given.text_column,
            "encoding": given.encoding,
        },
        "tokenizer": {"from": str(tokenizer_for(folder, given.tokenizer))},
        "model": {"type": family_of(folder), "from": str(folder)},
        "masking": {"share": given.share},
        "phases": [{"name": "test", "steps": 1, "sequenceLength": length}],
        "output": {"to": str(work)},
    }
    return resolve(parse(RunConfig, plain), precision="fp32", threads=1)


def _positions(folder: Path) -> int:
    config = json.loads((folder / MODEL_CONFIG_FILE).read_bytes())
    known = config.get("max_position_embeddings") or config.get("n_positions") or LONGEST
    return min(LONGEST, int(known))


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        finite = {k: v if math.isfinite(v) else None for k, v in found.items()}
        print(json.dumps(finite))
        return
    for name, value in found.items():
        print(f"{name} = {value}")
