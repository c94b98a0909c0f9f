"""Data parallelism: every rank holds the weights, gradients are averaged during backward.

Built on DistributedDataParallel, which overlaps the exchange with backward. It lays its buckets out
anew after the first backward pass of a process; a run that was stopped and continued would then sum
gradients in another order than one that was not, and end with other weights in the last bits. So
`wrap` spends one backward pass on a fixed row before the first step: every step of every process
sees the final layout.
"""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lmtrainer.models.objective import DeviceBatch
from lmtrainer.parallel.world import World

_WARM_UP_LENGTHS = (5, 7)

# No buffer of our models ever changes. torch renamed the switch in 2.13.
_SWITCHES = ("forward_sync_buffers", "broadcast_buffers")
_KNOWN = inspect.signature(DistributedDataParallel).parameters
_NO_BUFFERS: dict[str, Any] = {next(name for name in _SWITCHES if name in _KNOWN): False}


def wrap(objective: nn.Module, world: World, *, pairs: bool = False) -> nn.Module:
    """The module to call for the losses. Weights of rank 0 are sent to all. `pairs`: the rows will
    be of pairs of sentences."""
    if world.world_size == 1:
        return objective
    devices = [world.device.index] if world.device.type == "cuda" else None
    module = DistributedDataParallel(
        objective, device_ids=devices, gradient_as_bucket_view=True, **_NO_BUFFERS
    )
    _fix_buckets(module, _warm_up_row(world.device, pairs=pairs))
    return module


def without_exchange(module: nn.Module) -> AbstractContextManager[Any]:
    """Backward passes inside add gradients up without exchanging them."""
    if isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return nullcontext()


def _fix_buckets(module: DistributedDataParallel, row: DeviceBatch) -> None:
    for _ in range(2):  # the layout is decided in the first backward and taken in the next forward
        module(row).total.backward()
    module.zero_grad(set_to_none=False)


def _warm_up_row(device: torch.device, *, pairs: bool) -> DeviceBatch:
    total = sum(_WARM_UP_LENGTHS)
    positions = torch.cat([torch.arange(length) for length in _WARM_UP_LENGTHS])
    row = DeviceBatch(
        torch.zeros(1, total, dtype=torch.int64, device=device),
        positions[None].to(device),
        _WARM_UP_LENGTHS,
        torch.arange(0, total, 2, device=device),
        torch.zeros((total + 1) // 2, dtype=torch.int64, device=device),
    )
    if not pairs:
        return row
    starts = torch.tensor([0, _WARM_UP_LENGTHS[0]], device=device)
    return row._replace(segments=row.tokens, starts=starts, pair_labels=torch.zeros_like(starts))
