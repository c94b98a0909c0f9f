"""Tiny models in an engine, and rows for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lmtrainer.config import ResolvedRun, RunConfig, parse, resolve
from lmtrainer.dataset.batches import Batch
from lmtrainer.models import build
from lmtrainer.models.precision import shorten
from lmtrainer.parallel.world import World
from lmtrainer.train.engine import Engine
from lmtrainer.vocab import Vocabulary

CPU = torch.device("cpu")
ALONE = World(0, 0, 1, CPU)
VOCABULARY = Vocabulary(size=60, pad=1, cls=0, sep=2, mask=4, eos=2)
BATCH = 8
SIZES = {
    "layers": 2,
    "hiddenSize": 32,
    "heads": 2,
    "intermediateSize": 64,
    "maxPositions": 32,
    "dropout": 0,
    "attentionDropout": 0,
}


def run_of(kind: str = "bert", sizes: dict[str, Any] | None = None, **fields: Any) -> ResolvedRun:
    """A resolved configuration; keywords replace top-level fields of the document."""
    plain = {
        "data": {"train": ["text.txt"]},
        "model": {"type": kind, "config": {**SIZES, **(sizes or {})}},
        "phases": [{"name": "main", "steps": 10, "sequenceLength": 16, "globalBatchSize": BATCH}],
        "output": {"to": "out"},
    }
    return resolve(parse(RunConfig, {**plain, **fields}), precision="fp32", threads=1)


ARCHITECTURE = run_of().model.architecture()
"""The same sizes as `SIZES`."""


def model_of(run: RunConfig) -> Any:
    assert run.model.type is not None
    model = build.build(run.model.type, run.model.architecture(), VOCABULARY, seed=1)
    return shorten(model, run)


def engine_of(run: RunConfig, world: World = ALONE) -> Engine:
    return Engine(model_of(run), run, world, phase_index=0)


def row(seed: int, lengths: tuple[int, ...] = (16, 12, 16, 9), every: int = 2) -> Batch:
    """Random tokens; every so many of them is to be predicted, and can be learnt."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(5, 60, sum(lengths))
    targets = np.arange(0, len(tokens), every)
    return Batch(
        tokens=tokens,
        positions=np.concatenate([np.arange(length) for length in lengths]),
        lengths=lengths,
        targets=targets,
        labels=5 + tokens[targets] % 11,
    )
