"""A rank's place among all ranks: joining the group and leaving it. Callers: the stages.

A world of one pays nothing: no store, no process group. In a larger one the ranks are clients of
the store that the master node's launcher serves; they compare its fence, wait for each other, and
only then form the process group (gloo on CPUs, NCCL on GPUs).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from lmtrainer.faults import RendezvousError, UserError
from lmtrainer.parallel.rendezvous import Fence, connect, gather, within
from lmtrainer.stage import StageContext

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

SILENT_PEER_SECONDS = 300.0
"""An exchange that takes longer fails: a peer is silent (stopped, or its network is gone). torch's
own defaults, 10 and 30 minutes, leave GPUs idle for so long. Rank 0 may verify, load or publish a
checkpoint while the others wait, so it cannot be much shorter."""


@dataclass(frozen=True)
class World:
    """One rank's view of the group."""

    rank: int
    local_rank: int
    world_size: int
    device: torch.device

    @property
    def is_leader(self) -> bool:
        return self.rank == 0


def alone() -> World:
    """A rank without others, on the GPU if there is one: for what is computed without a job."""
    return World(0, 0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def join(context: StageContext) -> World:
    """Become a member of the group of this attempt.

    RendezvousError if it does not form in time, FencedError if its store is of another attempt,
    InterruptedRunError if asked to end meanwhile.
    """
    world = World(context.rank, context.local_rank, context.world_size, _device(context))
    if world.world_size > 1:
        store = _meet(context)
        try:
            dist.init_process_group(
                "nccl" if world.device.type == "cuda" else "gloo",
                store=store,
                rank=world.rank,
                world_size=world.world_size,
                timeout=timedelta(seconds=SILENT_PEER_SECONDS),
                device_id=world.device if world.device.type == "cuda" else None,
            )
        except RuntimeError as error:
            raise RendezvousError(f"the process group did not form: {error}") from error
    return world


def leave(world: World) -> None:
    """End the membership; harmless when there is none.

    While an exception ends the stage nothing is done: the process is about to go, which closes its
    connections, and NCCL's regular end might wait for a peer that is gone.
    """
    if world.world_size > 1 and dist.is_initialized() and sys.exception() is None:
        dist.destroy_process_group()


def _meet(context: StageContext) -> Store:
    """The store, once all ranks have come to it."""
    node = context.node
    seconds = node.rendezvous_seconds

    def meet() -> Store:
        deadline = time.monotonic() + seconds
        fence = Fence(node.job_uid, node.attempt)
        store = connect(node.master_addr, node.master_port, fence, seconds=seconds)
        left = deadline - time.monotonic()
        gather(store, context.rank, context.world_size, seconds=left)
        return store

    def watch() -> bool:
        context.reports.heartbeat()
        return context.stop.requested

    what = f"the rendezvous store at {node.master_addr}:{node.master_port}"
    return within(seconds + 1, meet, what=what, watch=watch)


def _device(context: StageContext) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if context.local_rank >= count:
        raise UserError(
            f"processesPerNode: this node has {count} GPUs for {context.node.nproc_per_node} "
            "processes; use auto, or one process for each GPU"
        )
    device = torch.device("cuda", context.local_rank)
    torch.cuda.set_device(device)
    return device
