"""Trains a tiny model on some ranks that share its state in some way.

    python -m tests.rows.ranks STRATEGY[:OPTIMIZER[:PRECISION]] RANKS FOLDER [SAVED]

Ten steps on five rows each; a checkpoint of step 5 goes to FOLDER/checkpoints, the weights of step
10 to FOLDER/weights.safetensors. With SAVED, the folder of a checkpoint of step 5, it goes on from
there. Prints what rank 0 holds, in numbers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import save_file

from lmtrainer import checkpoint
from lmtrainer.checkpoint import State
from lmtrainer.contract.reports import Position
from lmtrainer.parallel import sharding
from lmtrainer.parallel.world import World
from lmtrainer.train.engine import Engine, EngineState
from lmtrainer.train.state import (
    put_back_moments,
    put_back_parts,
    put_back_weights,
    take,
    whole_model,
)
from tests.rows.engines import engine_of, model_of, row, run_of

STEPS, SAVED_AT = 10, 5
HASH = "c" * 64


def main(rank: int, strategy: str, ranks: int, folder: str, saved: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    world = World(rank, rank, ranks, torch.device("cpu"))
    kind, optimizer, precision = [*strategy.split(":"), *["adamw", "fp32"][strategy.count(":") :]]
    run = run_of(parallel={"strategy": kind}, optimizer={"type": optimizer}, precision=precision)
    engine = engine_of(run, world)
    if saved:
        go_on(engine, saved, updates=SAVED_AT)
    for step in range(SAVED_AT if saved else 0, STEPS):
        rows = [row(10 * step + number) for number in range(5)][rank::ranks]
        engine.step(rows, step=step, learning_rate=1e-3, stop=False)
        if step + 1 == SAVED_AT:
            save(engine, Path(folder) / "checkpoints", 0, SAVED_AT)
    fresh = model_of(run) if rank == 0 else None
    found = whole_model(engine.model, world, fresh)
    if rank == 0:
        weights = {name: p.detach().clone() for name, p in found.named_parameters()}
        save_file(weights, f"{folder}/weights.safetensors")
        print(json.dumps(held(engine)))
    dist.barrier()
    dist.destroy_process_group()


def save(engine: Engine, root: Path, phase_index: int, step: int) -> None:
    position = Position(phase_index=phase_index, step=step, phase="main")
    state = State(
        position=position,
        job_uid="job-a",
        attempt=1,
        config_hash=HASH,
        world_size=engine.world.world_size,
    )
    snapshot = take(engine, state)
    if engine.world.is_leader:
        checkpoint.save(root, snapshot, keep=3, fence=lambda: None)
    elif snapshot.part is not None:
        checkpoint.contribute(root, snapshot)
    dist.barrier()


def go_on(engine: Engine, saved: str, *, updates: int) -> None:
    found = checkpoint.verify(Path(saved), HASH) if engine.world.is_leader else None
    if engine.sharing.in_parts:
        put_back_parts(engine.model, saved)
    elif found is not None:
        put_back_weights(engine.model, found)
    if not engine.sharing.in_parts:
        for parameter in engine.model.parameters():
            dist.broadcast(parameter.data, src=0)
    engine.put_back(EngineState(updates=updates))
    put_back_moments(engine, found, saved, updates=updates)


def held(engine: Engine) -> dict[str, int]:
    def count(tensors: list[torch.Tensor]) -> int:
        return sum(sharding.local(tensor).numel() for tensor in tensors)

    states = engine.optimizer.state.values()
    return {
        "weights": count(list(engine.model.parameters())),
        "moments": count([state["exp_avg"] for state in states]),
    }


if __name__ == "__main__":
    strategy, ranks, folder, *saved = sys.argv[1:]
    Path(folder).mkdir(exist_ok=True)
    arguments = (strategy, int(ranks), folder, saved[0] if saved else "")
    # Forked, they need not import everything again; no thread has been started yet.
    mp.start_processes(main, arguments, int(ranks), start_method="fork")
