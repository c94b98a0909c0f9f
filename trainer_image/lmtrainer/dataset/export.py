"""Pairs of sentences with fixed masks as JSON lines, for programs that read ready-made instances.

Called by `lmtrainer instances`. The form is that of `text.instances`, which reads it back. The text
is passed over `pairs.passes` times, each time with other pairs and other masks; all instances are
shuffled and dealt to the files in turn. The same seed writes the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.dataset import permutation
from lmtrainer.dataset.batch import Batch
from lmtrainer.dataset.packing import packer
from lmtrainer.dataset.prepare import Prepared
from lmtrainer.durable import LEFTOVER, sync_folder
from lmtrainer.randomness import Purpose, derive
from lmtrainer.text.instances import KEYS, NOTHING

BLOCK = 256
"""Instances that are made at once."""


def write_instances(prepared: Prepared, run: RunConfig, files: Sequence[Path]) -> int:
    """Write all instances of the training text for the first phase of a run without weights, a file
    whole or not at all; returns how many there are."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(_whole(path)) for path in files]
        number = -1
        for number, line in enumerate(_lines(prepared, run)):
            opened[number % len(opened)].write(line)
    return number + 1


def _lines(prepared: Prepared, run: RunConfig) -> Iterator[bytes]:
    packed = packer(prepared, run, run.phases[0])
    sizes = packed.epochs.sizes
    keys = np.array(
        [derive(run.seed, Purpose.MASKS, 0, number) for number in range(len(sizes))],
        dtype=np.uint64,
    )
    key, count = derive(run.seed, Purpose.ORDER, 0, 0), sum(sizes)
    for begin in range(0, count, BLOCK):
        numbers = permutation.at(key, count, np.arange(begin, min(begin + BLOCK, count)))
        passes, _ = packed.epochs.of(numbers)
        for document in _documents(packed.row(numbers, keys[passes])):
            yield json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _documents(row: Batch) -> Iterator[dict[str, Any]]:
    assert row.segments is not None and row.pair_labels is not None
    labels = np.full(len(row.tokens), NOTHING, dtype=np.int64)
    labels[row.targets] = row.labels
    cuts = np.cumsum(row.lengths)[:-1]
    columns = (_cut(values, cuts) for values in (row.tokens, row.segments, labels))
    for ids, segments, wanted, label in zip(*columns, row.pair_labels.tolist(), strict=True):
        yield dict(zip(KEYS, (ids, [1] * len(ids), segments, wanted, label), strict=True))


def _cut(values: NDArray[np.int64], cuts: NDArray[np.int64]) -> list[list[int]]:
    return [part.tolist() for part in np.split(values, cuts)]


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Any]:
    """A file that gets its name, durably, when the block ends well."""
    beside = path.with_name(f"{LEFTOVER}{path.name}-{secrets.token_hex(6)}")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
