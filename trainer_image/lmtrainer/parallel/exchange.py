"""Small exchanges between ranks: sums of numbers, a document from rank 0, tensors from rank 0.

No pickle crosses the wire: documents travel as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lmtrainer.parallel.world import World


def sums(world: World, values: Sequence[float]) -> list[float]:
    """Element-wise sums over all ranks, in float64: counts are exact up to 2**53."""
    if world.world_size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=world.device)
    dist.all_reduce(tensor)
    return tensor.tolist()


def document_from_leader(world: World, document: Any) -> Any:
    """What rank 0 passed, on every rank; the others pass None."""
    if world.world_size == 1:
        return document
    data = json.dumps(document).encode() if world.is_leader else b""
    size = int(sums(world, [float(len(data))])[0])
    buffer = torch.zeros(size, dtype=torch.uint8, device=world.device)
    if world.is_leader:
        buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    dist.broadcast(buffer, src=0)
    return json.loads(bytes(buffer.cpu().tolist()))


def tensors_from_leader(world: World, tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors on every rank with those of rank 0; same order and shapes everywhere."""
    if world.world_size > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
