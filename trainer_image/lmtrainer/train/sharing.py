"""What a process holds of the state of training, and what the others must be told: one class for
each `parallel.strategy`. Used by the engine, and by what saves and restores its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lmtrainer.config import RunConfig
from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.dataset.batches import Batch
from lmtrainer.models.objective import Losses, Objective
from lmtrainer.optim import moments, scaling
from lmtrainer.optim.build import build
from lmtrainer.optim.short import moment_formats
from lmtrainer.parallel import partition, sharding
from lmtrainer.parallel.exchange import sums, tensors_from_leader
from lmtrainer.parallel.gradients import filler, without_exchange, without_targets, wrap
from lmtrainer.parallel.world import World

Module = Callable[..., Losses]


class Whole:
    """Every process holds everything; gradients are exchanged (DistributedDataParallel)."""

    in_parts = False
    """Does each process save its own part?"""

    def __init__(self, model: nn.Module, world: World) -> None:
        self.model = model
        self.world = world

    def module(self, objective: Objective, *, pairs: bool) -> Module:
        """What is called for the losses of a row."""
        self._wrapped = wrap(objective, self.world, pairs=pairs)
        return self._wrapped

    def adding_up(self) -> AbstractContextManager[Any]:
        """Backward passes inside are not the last one of a step."""
        return without_exchange(self._wrapped)

    def rows(self, rows: Sequence[Batch], *, pairs: bool) -> Iterator[tuple[Batch, bool]]:
        """What this process computes in a step, and whether it counts."""
        for row in rows:
            yield row, True

    def evaluated(self, rows: Iterator[Batch]) -> Iterator[Batch]:
        """What this process measures."""
        return rows

    def optimizer(self, config: OptimizerConfig, *, seed: int) -> Optimizer:
        return build(self.model, config, seed=seed)

    def updated(self) -> None:
        """The optimizer has moved what it has."""

    def upper_share(self) -> float:
        """Share of the scaled gradients in the upper bin of float16; equal on all processes."""
        return scaling.upper_share(self._gradients())

    def _gradients(self) -> Iterator[Tensor]:
        return (p.grad for p in self.model.parameters() if p.grad is not None)

    def moments(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """The optimizer's state, as far as this process saves it. All processes call it."""
        return moments.state_tensors(optimizer, self.model)

    def put_back(
        self, optimizer: Optimizer, tensors: dict[str, Tensor] | None, *, steps: int
    ) -> None:
        """Give every process the moments after `steps` updates. Rank 0 passes what its checkpoint
        holds, the others None."""
        moments.restore(optimizer, self.model, tensors or self.room(), steps=steps)
        found = moments.state_tensors(optimizer, self.model)
        tensors_from_leader(self.world, (found[name] for name in sorted(found)))

    def room(self) -> dict[str, Tensor]:
        """Zeros in the place of all moments."""
        trained = ((n, p) for n, p in self.model.named_parameters() if p.requires_grad)
        return {
            f"{name}.{moment}": torch.zeros_like(parameter, dtype=kind)
            for name, parameter in trained
            for moment, kind in moment_formats(parameter).items()
        }


class ShardedMoments(Whole):
    """Every process holds all weights and gradients, and the moments of some of them."""

    def optimizer(self, config: OptimizerConfig, *, seed: int) -> Optimizer:
        self._owners = partition.owners(self.model, self.world.world_size)
        mine = {p for p, rank in self._owners.items() if rank == self.world.rank}
        return build(self.model, config, seed=seed, only=mine)

    def updated(self) -> None:
        partition.tell_values(self._owners)

    def moments(self, optimizer: Optimizer) -> dict[str, Tensor]:
        if not any(optimizer.state.values()):
            return {}
        room, owned = self.room(), moments.state_tensors(optimizer, self.model)
        owner = {
            name: self._owners[p] for name, p in self.model.named_parameters() if p in self._owners
        }
        held = [
            (owner[key.rpartition(".")[0]], owned.get(key, zeros)) for key, zeros in room.items()
        ]
        return dict(zip(room, partition.bring_to_leader(held, self.world), strict=False))

    def put_back(
        self, optimizer: Optimizer, tensors: dict[str, Tensor] | None, *, steps: int
    ) -> None:
        room = self.room()
        for name, zeros in room.items():
            if tensors is not None:
                zeros.copy_(tensors[name])
            tensors_from_leader(self.world, [zeros])
        mine = {p for group in optimizer.param_groups for p in group["params"]}
        moments.restore(optimizer, self.model, room, steps=steps, only=mine)


class Sharded(Whole):
    """Every process holds a part of everything (fully_shard)."""

    in_parts = True

    def __init__(self, model: nn.Module, world: World) -> None:
        super().__init__(model, world)
        sharding.shard(model, world)

    def module(self, objective: Objective, *, pairs: bool) -> Module:
        return sharding.as_forward(self.model, objective.forward)

    def adding_up(self) -> AbstractContextManager[Any]:
        """Each backward pass exchanges: with fillers behind them no rank knows its last row."""
        return nullcontext()

    def rows(self, rows: Sequence[Batch], *, pairs: bool) -> Iterator[tuple[Batch, bool]]:
        yield from sharding.in_step(rows, self.world, filler(pairs=pairs))

    def evaluated(self, rows: Iterator[Batch]) -> Iterator[Batch]:
        nothing = without_targets(filler(pairs=False))
        for row, _ in sharding.in_step(rows, self.world, nothing):
            yield row

    def upper_share(self) -> float:
        local = scaling.upper_count(sharding.local(g) for g in self._gradients())
        above, total = sums(self.world, local)
        return above / total

    def put_back(
        self, optimizer: Optimizer, tensors: dict[str, Tensor] | None, *, steps: int
    ) -> None:
        assert tensors is not None, "every process reads its own part"
        moments.restore(optimizer, self.model, tensors, steps=steps)


def sharing_of(model: nn.Module, run: RunConfig, world: World) -> Whole:
    """How a run shares its state; a single process has nothing to share."""
    kinds = {"ddp": Whole, "zero1": ShardedMoments, "fsdp": Sharded}
    return kinds[run.parallel.strategy if world.world_size > 1 else "ddp"](model, world)
