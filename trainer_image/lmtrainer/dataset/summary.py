"""What a prepared text comes to: how much of it there is, and what every phase makes of it.

Called by `dataset.prepare`, which leaves it in the output folder as `dataset.json` for people and
programs; nothing reads it back.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase
from lmtrainer.dataset.cutting import long_sentences
from lmtrainer.dataset.pairs import Pairs, Table, of_passes
from lmtrainer.dataset.samples import Cut, Samples, cut_of
from lmtrainer.dataset.store import Tokens
from lmtrainer.durable import replace
from lmtrainer.text.split import SPLITS, Split

SUMMARY_FILE = "dataset.json"


class Text(Protocol):
    """What of a prepared text is looked at: `dataset.prepare.Prepared`."""

    @property
    def pairs(self) -> Mapping[Table, Pairs]: ...
    def tokens(self, split: Split) -> Tokens: ...
    def samples(self, split: Split, cut: Cut) -> Samples: ...


def summary(text: Text, run: RunConfig) -> dict[str, Any]:
    """Documents and tokens of each split; for each phase how many sequences they make, how many
    tokens are in none of them, and what was cut off, split or dropped; of pairs how many each pass
    has, and which share of them is random."""
    return {
        "documents": {split: text.tokens(split).documents for split in SPLITS},
        "tokens": {split: len(text.tokens(split)) for split in SPLITS},
        "phases": [
            {
                "name": phase.name,
                "sequenceLength": phase.sequence_length,
                **{
                    split: _of_pairs(text.pairs, phase, split)
                    if run.draws_pairs and run.objective_of(phase) == "mlm+nsp"
                    else _of_phase(text, run, phase, split)
                    for split in SPLITS
                },
            }
            for phase in run.phases
        ],
    }


def write(output: Path, found: dict[str, Any]) -> None:
    replace(output / SUMMARY_FILE, json.dumps(found, indent=1))


def lines(found: dict[str, Any]) -> Iterator[str]:
    """What somebody should know who did not ask: text that is not trained on."""
    for phase in found["phases"]:
        for split in SPLITS:
            facts = phase[split]
            where = f"phase {phase['name']}, {split}"
            if "cappedFrom" in facts:
                yield f"{where}: {facts['sequences']} of {facts['cappedFrom']} sequences (capped)"
            if facts.get("longSentences"):
                what = f"{facts['longSentences']} sentences of more than {facts['longest']} tokens"
                yield f"{where}: {what}: {facts['longSentencesAre']}"


def _of_pairs(tables: Mapping[Table, Pairs], phase: Phase, split: Split) -> dict[str, Any]:
    found = list(of_passes(tables, split, phase.sequence_length))
    count = sum(map(len, found))
    random = sum(int(np.count_nonzero(table["is_random"])) for table in found)
    return {"pairs": [len(table) for table in found], "randomShare": round(random / count, 4)}


def _of_phase(text: Text, run: RunConfig, phase: Phase, split: Split) -> dict[str, Any]:
    tokens = text.tokens(split)
    cut = cut_of(run, phase, split)
    if cut.sequences == "instances":
        return {"sequences": min(tokens.documents, cut.most or tokens.documents)}
    table = text.samples(split, cut)
    facts: dict[str, Any] = {
        "sequences": len(table),
        "tokensLeftOut": len(tokens) - int(table.sizes.sum(dtype=np.int64)),
    }
    if cut.most is not None:
        whole = len(text.samples(split, dataclasses.replace(cut, most=None)))
        if whole > len(table):
            facts["cappedFrom"] = whole
    if cut.sequences == "sentences":
        facts["longSentences"] = long_sentences(tokens.offset_chunks(), cut.room)
        facts["longest"] = cut.room
        facts["longSentencesAre"] = cut.long_sentences
    return facts
