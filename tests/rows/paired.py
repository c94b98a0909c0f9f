"""Documents of sentences, the pairs that are made of them, and a look at each."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from lmtrainer.config import ResolvedRun
from lmtrainer.dataset import Prepared, TrainingRows
from lmtrainer.dataset.batches import Batch
from tests.rows.prepared import configured, made

WORD = ("north", "south", "east", "west", "wind", "water", "fire", "earth")
SENTENCES = [
    " ".join(WORD[(i * j + i) % 8] + str((i + j) % 10) for j in range(2 + i % 6))
    for i in range(700)
]


def documents(count: int = 100, size: int = 7) -> str:
    """Documents of one sentence a line, with a blank line between them."""
    return "\n\n".join("\n".join(SENTENCES[i * size : i * size + size]) for i in range(count))


def paired(
    folder: Path, text: str | None = None, length: int = 48, **fields: Any
) -> tuple[Prepared, ResolvedRun]:
    run = configured("bert", length, **{"objective": "mlm+nsp", **fields})
    return made(folder, run, text or documents()), run


def pass_of(prepared: Prepared, run: ResolvedRun, number: int = 0) -> list[Batch]:
    """All pairs of one pass over the training text, a row each."""
    sizes = [len(table) for table in prepared.pairs.values()][: run.pairs.passes]  # type: ignore[union-attr]
    rows = TrainingRows(prepared, run, 0)
    step = run.phases[0].global_batch_size
    begin = sum(sizes[:number])
    assert begin % step == 0 or number == 0
    found = [rows.micro_batches(n, 0, 1) for n in range(begin // step, sum(sizes) // step + 1)]
    singles = [one for row in itertools.chain(*found) for one in cut(row)]
    return singles[: sizes[number]]


def cut(row: Batch) -> list[Batch]:
    """A row of each pair in a row."""
    found = []
    assert row.segments is not None and row.pair_labels is not None
    ends = np.cumsum(row.lengths)
    for number, (length, end) in enumerate(zip(row.lengths, ends, strict=True)):
        here = slice(end - length, end)
        mine = (row.targets >= end - length) & (row.targets < end)
        found.append(
            Batch(
                tokens=row.tokens[here],
                positions=row.positions[here],
                lengths=(length,),
                targets=row.targets[mine] - (end - length),
                labels=row.labels[mine],
                segments=row.segments[here],
                pair_labels=row.pair_labels[number : number + 1],
            )
        )
    return found


def parts(row: Batch, prepared: Prepared) -> tuple[list[int], list[int]]:
    """A and B as they stood in the text, after a look at what is around them."""
    tokens = row.tokens.copy()
    tokens[row.targets] = row.labels
    assert row.segments is not None
    first, second = tokens[row.segments == 0].tolist(), tokens[row.segments == 1].tolist()
    assert first[0] == prepared.vocabulary.cls
    assert first[-1] == second[-1] == prepared.vocabulary.sep
    assert np.array_equal(row.positions, np.arange(len(tokens)))
    return first[1:-1], second[:-1]
