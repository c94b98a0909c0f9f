"""`lmtrainer instances --text FILE... --tokenizer PLACE --to FILE...`: pairs with fixed masks.

Text is one sentence a line, with a blank line between documents. What is written are JSON lines
with input_ids, attention_mask, token_type_ids, labels and next_sentence_label.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtrainer.commands.running import carry_out

if TYPE_CHECKING:
    from lmtrainer.config import ResolvedRun

FILLER = "filler.txt"
"""A dataset has to have something held out; nothing of it is written."""

SHORTEST_MODEL = 512


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to make instances of, and how; the words are those of a run's configuration."""

    text: Sequence[str]
    to: Sequence[str]
    tokenizer: str
    """A folder, or a vocab.txt."""
    lowercase: bool = True
    """Of a vocab.txt."""
    sequence_length: int = 128
    seed: int = 42
    masking: Mapping[str, Any]
    """As in a run's configuration."""
    pairs: Mapping[str, Any]
    """As in a run's configuration."""
    encoding: str = "utf-8"
    work: str | None = None
    """Where the text is encoded, for a while."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--text", required=True, nargs="+", metavar="FILE", help="files, patterns")
    parser.add_argument("--tokenizer", required=True, metavar="PLACE", help="folder or vocab.txt")
    parser.add_argument("--to", required=True, nargs="+", metavar="FILE", help="filled in turn")
    parser.add_argument("--cased", action="store_true", help="a vocab.txt keeps upper case")
    parser.add_argument("--sequence-length", type=int, default=128, metavar="N", help="of a pair")
    parser.add_argument("--passes", type=int, default=10, help="over the text, masked otherwise")
    parser.add_argument("--random-share", type=float, default=0.5, help="of the second halves")
    parser.add_argument("--short-share", type=float, default=0.1, help="of the documents")
    parser.add_argument("--share", type=float, default=0.15, help="of the tokens that is masked")
    parser.add_argument("--max-predictions", type=int, metavar="N", help="at most, of a pair")
    parser.add_argument("--whole-words", action="store_true", help="mask words whole")
    parser.add_argument("--encoding", default="utf-8", help="of the text")
    parser.add_argument("--seed", type=int, default=42, help="of pairs, masks and order")
    parser.add_argument("--work", metavar="FOLDER", help="where the text is encoded, for a while")


def run(given: argparse.Namespace) -> int:
    """Write the instances and say how many there are."""
    wanted = Wanted(
        text=given.text,
        to=given.to,
        tokenizer=given.tokenizer,
        lowercase=not given.cased,
        sequence_length=given.sequence_length,
        seed=given.seed,
        masking={
            "share": given.share,
            "wholeWords": given.whole_words,
            "maxPredictions": given.max_predictions,
        },
        pairs={
            "randomShare": given.random_share,
            "shortShare": given.short_share,
            "passes": given.passes,
        },
        encoding=given.encoding,
        work=given.work,
    )
    return carry_out(lambda: print(f"{make(wanted)} instances"))


def make(wanted: Wanted) -> int:
    """Write the instances; returns how many there are. UserError or MistakesError if it cannot be
    done."""
    from lmtrainer.dataset import prepare
    from lmtrainer.dataset.export import write_instances
    from lmtrainer.durable import make_folder

    files = [Path(name).absolute() for name in wanted.to]
    with tempfile.TemporaryDirectory(prefix="lmtrainer-instances-", dir=wanted.work) as work:
        run = _run_of(wanted, Path(work))
        prepared = prepare(run, Path(work) / "out", {})
        for file in files:
            make_folder(file.parent)
        return write_instances(prepared, run, files)


def _run_of(wanted: Wanted, work: Path) -> ResolvedRun:
    from lmtrainer.config import RunConfig, parse, resolve

    (work / FILLER).write_text("held out\nno more\n\nheld out\n", encoding=wanted.encoding)
    plain = {
        "seed": wanted.seed,
        "objective": "mlm+nsp",
        "data": {
            "train": list(wanted.text),
            "validation": {"files": [str(work / FILLER)]},
            "encoding": wanted.encoding,
        },
        "tokenizer": {"from": _tokenizer(wanted, work)},
        "model": {
            "type": "bert",
            "config": {"maxPositions": max(SHORTEST_MODEL, wanted.sequence_length)},
        },
        "masking": {name: value for name, value in wanted.masking.items() if value is not None},
        "pairs": dict(wanted.pairs),
        "phases": [{"name": "all", "steps": 1, "sequenceLength": wanted.sequence_length}],
        "output": {"to": str(work)},
    }
    return resolve(parse(RunConfig, plain), precision="fp32", threads=1)


def _tokenizer(wanted: Wanted, work: Path) -> str:
    """A folder; one is made around a vocab.txt."""
    place = Path(wanted.tokenizer)
    if not place.is_file():
        return wanted.tokenizer
    folder = work / "vocabulary"
    folder.mkdir()
    (folder / "vocab.txt").write_bytes(place.read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": wanted.lowercase}))
    return str(folder)
