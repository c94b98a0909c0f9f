"""Fully sharded data parallelism: a rank holds a part of every weight, gradient and moment, and
gathers the weights of a layer while it computes it.

Built on torch's fully_shard (FSDP2). The losses are computed by a method of the model that is
registered as a forward pass, because that of transformers' models computes scores for all tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from lmtrainer.parallel.world import World

_METHOD = "packed_losses"

T = TypeVar("T")


def shard(model: nn.Module, world: World) -> None:
    """Cut the weights of a model over the ranks, which all have the same ones; once."""
    if isinstance(model, FSDPModule):
        return
    mesh = init_device_mesh(world.device.type, (world.world_size,))
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def as_forward(model: Any, losses: Callable[..., Any]) -> Callable[..., Any]:
    """`losses` as a forward pass of a sharded model, with its weights there while it runs."""
    setattr(model, _METHOD, losses)
    register_fsdp_forward_method(model, _METHOD)
    found: Callable[..., Any] = getattr(model, _METHOD)
    return found


@contextlib.contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """The weights outside of the layers are there for the length of the block; the layers gather
    their own. Harmless for a model that is not sharded."""
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


@dataclass(frozen=True)
class Pieces:
    """This rank's parts of tensors, and where they begin in the whole ones."""

    tensors: Mapping[str, Tensor]
    offsets: Mapping[str, tuple[int, ...]]


def pieces_of(tensors: Mapping[str, Tensor], world: World) -> Pieces:
    """What is not cut, rank 0 has; a part without numbers is left out."""
    found, offsets = {}, {}
    for name, tensor in tensors.items():
        local, begin = tensor, (0,) * tensor.ndim
        if isinstance(tensor, DTensor):
            local = tensor.to_local()
            _, begin = compute_local_shape_and_global_offset(
                tensor.shape, tensor.device_mesh, tensor.placements
            )
        elif not world.is_leader:
            continue
        if local.numel():
            found[name], offsets[name] = local.detach(), tuple(begin)
    return Pieces(found, offsets)


def local(tensor: Tensor) -> Tensor:
    """This rank's part."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def copy_part(target: Tensor, source: Tensor) -> None:
    """Into a tensor, or this rank's part of one, what stands there in a whole one."""
    if not isinstance(target, DTensor):
        target.copy_(source)
        return
    local = target.to_local()
    _, begin = compute_local_shape_and_global_offset(
        target.shape, target.device_mesh, target.placements
    )
    if local.numel():
        place = (slice(b, b + n) for b, n in zip(begin, local.shape, strict=True))
        local.copy_(source[tuple(place)])


def whole(tensors: Mapping[str, Tensor], world: World) -> dict[str, Tensor]:
    """Whole tensors in the memory of rank 0's host, one after the other; {} on the other ranks. All
    ranks call it."""
    found = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if world.is_leader:
            found[name] = full.detach().cpu()
    return found


def in_step(rows: Iterable[T], world: World, filler: T) -> Iterator[tuple[T, bool]]:
    """Rows, and fillers behind them until every rank is through: ranks gather weights together, so
    they must compute the same number of rows. With each, whether it is a real one."""
    own = iter(rows)
    while True:
        row = next(own, None)
        more = torch.tensor(0.0 if row is None else 1.0, device=world.device)
        dist.all_reduce(more, op=dist.ReduceOp.MAX)
        if not more:
            return
        yield (filler, False) if row is None else (row, True)
