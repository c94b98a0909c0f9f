"""Sharded moments beside whole weights (stage 1 of ZeRO): each parameter has one rank that keeps
its moments and moves it, and then tells the others its new value.

Gradients are exchanged as without it, so the weights are those of plain data parallelism to the
last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lmtrainer.parallel.world import World


def owners(model: nn.Module, world_size: int) -> dict[nn.Parameter, int]:
    """Parameter -> rank, so that ranks have about equally many numbers: the largest first, each to
    the rank that has the fewest."""
    load = [0] * world_size
    found = {}
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in sorted(trained, key=lambda p: -p.numel()):
        rank = load.index(min(load))
        found[parameter] = rank
        load[rank] += parameter.numel()
    return found


@torch.no_grad()
def tell_values(owned: Mapping[nn.Parameter, int]) -> None:
    """Every rank gets what the owners made of their parameters."""
    for parameter, rank in owned.items():
        dist.broadcast(parameter, src=rank)


def bring_to_leader(tensors: Iterable[tuple[int, Tensor]], world: World) -> list[Tensor]:
    """Tensors of their owners, in the memory of rank 0's host; [] on the others. `tensors` have the
    same order and shapes everywhere: what a rank does not own is room for it."""
    found = []
    for owner, tensor in tensors:
        if owner:
            if world.rank == owner:
                dist.send(tensor, dst=0)
            elif world.is_leader:
                dist.recv(tensor, src=owner)
        if world.is_leader:
            found.append(tensor.to("cpu", copy=True))
    return found
