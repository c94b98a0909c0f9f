"""A text of a few lines, prepared for a tiny model: what a row's check of the data begins with."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lmtrainer.config import ResolvedRun, RunConfig, parse, resolve
from lmtrainer.dataset import Prepared, prepare
from lmtrainer.dataset.batches import Batch
from lmtrainer.dataset.store import Tokens

TEXT = "\n\n".join(f"text number {n}\nwith {n % 7} lines more" for n in range(400))
KINDS = {"bert": "wordpiece", "roberta": "bytebpe", "gpt2": "bytebpe"}


def configured(model: str = "bert", length: int = 16, **fields: Any) -> ResolvedRun:
    """A resolved run; `data` is merged into that of the claim "text"."""
    data = {"train": ["pvc://text/train.txt"], "validation": {"files": ["pvc://text/held.txt"]}}
    phase = {"name": "main", "steps": 2, "sequenceLength": length, "globalBatchSize": 4}
    plain = {
        "model": {"type": model, "preset": "tiny"},
        "tokenizer": {"train": {"type": KINDS[model], "vocabSize": 400, "minFrequency": 1}},
        "phases": [phase],
        "output": {"to": "out"},
        **fields,
        "data": {**data, **fields.get("data", {})},
    }
    return resolve(parse(RunConfig, plain), precision="fp32", threads=1)


def made(folder: Path, run: ResolvedRun, text: str | None = None, **options: Any) -> Prepared:
    """Prepare `text`, the held-out one too, in a folder of its own."""
    claim = folder / "text"
    claim.mkdir(exist_ok=True)
    if text is not None:
        (claim / "train.txt").write_text(text)
        (claim / "held.txt").write_text(text)
    return prepare(run, folder / "out", {"text": str(claim)}, **options)


def ids(tokens: Tokens) -> list[int]:
    """All of a split, end to end."""
    found = np.empty(len(tokens), dtype=np.int64)
    tokens.copy(0, found)
    return [int(i) for i in found]


def sequences(rows: list[Batch], *, masked: bool = True) -> list[list[int]]:
    """What the model would see if nothing were `masked`, sequence by sequence."""
    found = []
    for row in rows:
        tokens = row.tokens.copy()
        if masked:
            tokens[row.targets] = row.labels
        ends = np.cumsum(row.lengths)
        found += [tokens[end - n : end].tolist() for n, end in zip(row.lengths, ends, strict=True)]
    return found


def again(folder: Path) -> Path:
    """An empty folder instead of an earlier one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def digest(folder: Path) -> dict[str, str]:
    """Every file of a dataset but its manifest."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json"
    }


def counting(module: str, name: str, calls: list[int]) -> Callable[..., Any]:
    """The function, which notes each call."""
    function = getattr(sys.modules[module], name)

    def noted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return function(*args, **options)

    return noted
