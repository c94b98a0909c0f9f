"""Data parallelism: every rank holds the weights, gradients are averaged during backward.

Built on DistributedDataParallel, which overlaps the exchange with backward. It lays its buckets out
anew after the first backward pass of a process; a run that was stopped and continued would then sum
gradients in another order than one that was not, and end with other weights in the last bits. So
`wrap` spends one backward pass on a fixed row before the first step: every step of every process
sees the final layout.
"""

from __future__ import annotations

import dataclasses
import inspect
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lmtrainer.dataset.batches import Batch
from lmtrainer.models.objective import DeviceBatch, to_device
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
    _fix_buckets(module, to_device(filler(pairs=pairs), world.device))
    return module


def without_exchange(module: nn.Module) -> AbstractContextManager[Any]:
    """Backward passes inside add gradients up without exchanging them."""
    if isinstance(module, DistributedDataParallel):
        return module.no_sync()
    return nullcontext()


def filler(lengths: tuple[int, ...] = _WARM_UP_LENGTHS, *, pairs: bool) -> Batch:
    """A row of zeros for a process that has none while others do, half of it to be predicted."""
    total = sum(lengths)
    tokens = np.zeros(total, dtype=np.int64)
    row = Batch(
        tokens=tokens,
        positions=np.concatenate([np.arange(length) for length in lengths]),
        lengths=lengths,
        targets=np.arange(0, total, 2),
        labels=np.zeros((total + 1) // 2, dtype=np.int64),
    )
    if not pairs:
        return row
    labels = np.zeros(len(lengths), dtype=np.int64)
    return dataclasses.replace(row, segments=tokens, pair_labels=labels)


def _fix_buckets(module: DistributedDataParallel, row: DeviceBatch) -> None:
    for _ in range(2):  # the layout is decided in the first backward and taken in the next forward
        module(row).total.backward()
    module.zero_grad(set_to_none=False)


def without_targets(row: Batch) -> Batch:
    """The same with nothing to predict, so that it counts nowhere."""
    return dataclasses.replace(row, targets=row.targets[:0], labels=row.labels[:0])
