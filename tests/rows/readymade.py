"""Ready-made instances: files of them, runs on them, and what a row says of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lmtrainer.config import ResolvedRun
from lmtrainer.dataset import Prepared, prepare
from tests.rows.prepared import configured

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LENGTH = 20


def instance(number: int, pad: int = LENGTH) -> dict[str, Any]:
    """[CLS] A [SEP] B [SEP], two of its tokens hidden, filled up to `pad`."""
    rng = np.random.default_rng(number)
    a, b = rng.integers(2, 7), rng.integers(2, 7)
    text = [2, *rng.integers(5, 40, a).tolist(), 3, *rng.integers(5, 40, b).tolist(), 3]
    labels = [-100] * len(text)
    for place in (1, int(a + 2)):
        labels[place], text[place] = text[place], 4
    rest = pad - len(text)
    return {
        "input_ids": text + [0] * rest,
        "attention_mask": [1] * len(text) + [0] * rest,
        "token_type_ids": [0] * int(a + 2) + [1] * int(b + 1) + [0] * rest,
        "labels": labels + [-100] * rest,
        "next_sentence_label": int(rng.integers(0, 2)),
    }


def write(folder: Path, rows: list[dict[str, Any]], name: str = "train.json") -> None:
    text = folder / "text"
    text.mkdir(exist_ok=True)
    (text / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = text / "tokenizer"
    tokenizer.mkdir(exist_ok=True)
    words = [*SPECIALS, *(f"w{i}" for i in range(40))]
    (tokenizer / "vocab.txt").write_text("\n".join(words) + "\n")


def run_of(objective: str = "mlm+nsp", length: int = LENGTH, **fields: Any) -> ResolvedRun:
    data = {
        "train": ["pvc://text/train.json"],
        "validation": {"files": ["pvc://text/held.json"]},
        "sequences": "instances",
    }
    return configured(
        "bert",
        length,
        **{
            "objective": objective,
            "tokenizer": {"from": "pvc://text/tokenizer"},
            **fields,
            "data": {**data, **fields.get("data", {})},
        },
    )


def made(folder: Path, run: ResolvedRun | None = None) -> tuple[Prepared, ResolvedRun]:
    run = run or run_of()
    return prepare(run, folder / "out", {"text": str(folder / "text")}), run


def as_row(row: Any) -> dict[str, Any]:
    """What a packed row of one instance says, in the form that it was read in."""
    labels = np.full(len(row.tokens), -100)
    labels[row.targets] = row.labels
    found = {
        "input_ids": row.tokens.tolist(),
        "attention_mask": [1] * len(row.tokens),
        "token_type_ids": row.segments.tolist(),
        "labels": labels.tolist(),
        "next_sentence_label": int(row.pair_labels[0]),
    }
    rest = LENGTH - len(row.tokens)
    fill = {"labels": -100}
    return {
        name: value + [fill.get(name, 0)] * rest if isinstance(value, list) else value
        for name, value in found.items()
    }
