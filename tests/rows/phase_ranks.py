"""Trains a tiny model of pairs of sentences in phases with objectives of their own, on some ranks
that share its state in some way.

    python -m tests.rows.phase_ranks STRATEGY RANKS FOLDER [SAVED PHASE]

Phases of words, of pairs and of words again, six steps each on five rows each. The weights that a
phase ends with go to FOLDER/PHASE.safetensors, checkpoints of step 3 of each to FOLDER/checkpoints.
With SAVED, the checkpoint of step 3 of PHASE, it goes on from there. Prints, for each phase, which
parameters the optimizer knows, and which of those that only pairs train have a gradient in the end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import save_file

from lmtrainer.config import RunConfig
from lmtrainer.dataset.batches import Batch
from lmtrainer.models import build
from lmtrainer.models.objective import pair_parameters
from lmtrainer.parallel.world import World
from lmtrainer.train.engine import Engine
from lmtrainer.train.sharing import sharing_of
from lmtrainer.train.state import whole_model
from tests.rows.engines import VOCABULARY, row, run_of
from tests.rows.ranks import go_on, save

STEPS, SAVED_AT = 6, 3
OBJECTIVES = ("mlm", "mlm+nsp", "mlm")


def run_in_phases(strategy: str) -> RunConfig:
    phase = {"steps": STEPS, "sequenceLength": 16, "globalBatchSize": 20}
    phases = [
        {"name": f"phase{number}", "objective": objective, **phase}
        for number, objective in enumerate(OBJECTIVES)
    ]
    # Decay that would be seen, were it applied to what is not trained.
    settings = {"weightDecay": 0.5}
    return run_of(parallel={"strategy": strategy}, optimizer=settings, phases=phases)


def model_of(run: RunConfig) -> Any:
    return build.build("bert", run.model.architecture(), VOCABULARY, seed=1, pairs=run.has_pairs)


def row_of(seed: int, *, pairs: bool) -> Batch:
    plain = row(seed)
    if not pairs:
        return plain
    segments = np.concatenate([np.arange(n) >= n // 2 for n in plain.lengths]).astype(np.int64)
    labels = np.random.default_rng(seed).integers(0, 2, len(plain.lengths))
    return Batch(
        plain.tokens,
        plain.positions,
        plain.lengths,
        plain.targets,
        plain.labels,
        segments=segments,
        pair_labels=labels,
    )


def main(rank: int, strategy: str, ranks: int, folder: str, saved: str, begin: int) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    world = World(rank, rank, ranks, torch.device("cpu"))
    run = run_in_phases(strategy)
    model = model_of(run)
    sharing_of(model, run, world)  # as a session does it, before there is an engine
    told = []
    for index in range(begin, len(OBJECTIVES)):
        engine = Engine(model, run, world, phase_index=index)
        first = SAVED_AT if saved and index == begin else 0
        if first:
            go_on(engine, saved, updates=first)
        steps(engine, index, first, Path(folder))
        whole = whole_model(model, world, model_of(run) if rank == 0 else None)
        if rank == 0:
            weights = {name: p.detach().clone() for name, p in whole.named_parameters()}
            save_file(weights, f"{folder}/{index}.safetensors")
            told.append(known(engine))
    if rank == 0:
        print(json.dumps(told))
    dist.barrier()
    dist.destroy_process_group()


def steps(engine: Engine, index: int, first: int, folder: Path) -> None:
    world, pairs = engine.world, OBJECTIVES[index] == "mlm+nsp"
    for step in range(first, STEPS):
        rows = [row_of(100 * index + 10 * step + n, pairs=pairs) for n in range(5)]
        engine.step(rows[world.rank :: world.world_size], step=step, learning_rate=1e-3, stop=False)
        if step + 1 == SAVED_AT:
            save(engine, folder / "checkpoints", index, SAVED_AT)


def known(engine: Engine) -> dict[str, Any]:
    names = {parameter: name for name, parameter in engine.model.named_parameters()}
    moved = {p for group in engine.optimizer.param_groups for p in group["params"]}
    gradients = [names[p] for p in pair_parameters(engine.model) if p.grad is not None]
    return {
        "moved": sorted(names[p] for p in moved),
        "moments": sorted(names[p] for p in engine.optimizer.state),
        "gradients": gradients,
    }


if __name__ == "__main__":
    strategy, ranks, folder, *more = sys.argv[1:]
    Path(folder).mkdir(exist_ok=True)
    saved, begin = (more[0], int(more[1])) if more else ("", 0)
    arguments = (strategy, int(ranks), folder, saved, begin)
    mp.start_processes(main, arguments, int(ranks), start_method="fork")
