"""The store where a group meets, and the fence that keeps others out.

The launcher of the master node opens a TCPStore and writes the fence into it: the job's uid and the
attempt. Whoever joins compares first, so that a node of an old attempt, or of another job that was
given the same address, is refused by name. Each node also claims its rank in the group, so that a
second node with the same rank is refused. Callers: `launch.membership` for nodes, `world` for
ranks.

No call of a TCPStore is bounded when the other side accepts connections but is silent (a stopped
process): torch 2.13 ignores the timeout in the constructor, and in `get` while it cancels. So every
function here may block; callers run it in a thread of its own and bound that (`within`).
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from lmtrainer.faults import FencedError, InterruptedRunError, RendezvousError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")

ANSWER_SECONDS = 5.0
"""How long one call may take where torch keeps to it."""
RETRY_SECONDS = 0.1
POLL_SECONDS = 0.05

_FENCE_KEY = "lmtrainer/fence"
_START_KEY = "lmtrainer/start"
_NEEDED = "needed"


@dataclass(frozen=True)
class Fence:
    """Whose store it is."""

    job_uid: str
    attempt: int

    def __str__(self) -> str:
        return f"job {self.job_uid} attempt {self.attempt}"


def open_store(listener: socket.socket, fence: Fence) -> Store:
    """Serve a store on a listening socket, which the store then owns, and put up the fence.

    Clients that connected to the socket before this call are served by it.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    host, port = listener.getsockname()[:2]
    store = TCPStore(
        host,
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(seconds=ANSWER_SECONDS),
        master_listen_fd=listener.detach(),
    )
    store.set(_FENCE_KEY, json.dumps([fence.job_uid, fence.attempt]))
    return store


def connect(host: str, port: int, fence: Fence, *, seconds: float) -> Store:
    """A client of the store at `host:port`, once it is there and if it is of this attempt.

    RendezvousError after `seconds`; FencedError if the store is of another job or attempt.
    """
    deadline = time.monotonic() + seconds
    from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

    timeout = timedelta(seconds=ANSWER_SECONDS)
    while True:
        try:
            # torch prints pages while it retries; a plain connection first keeps that quiet.
            socket.create_connection((host, port), timeout=ANSWER_SECONDS).close()
            store = TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=timeout)
            handshake(store, fence)
            return store
        except (OSError, DistError) as error:
            if time.monotonic() >= deadline:
                reason = str(error).partition("\n")[0]
                raise RendezvousError(
                    f"no rendezvous store at {host}:{port} within {seconds:g} s: {reason}"
                ) from error
        time.sleep(RETRY_SECONDS)


def handshake(store: Store, fence: Fence) -> None:
    """One round trip: FencedError if the store is not that of `fence`."""
    job_uid, attempt = json.loads(store.get(_FENCE_KEY))
    found = Fence(str(job_uid), int(attempt))
    if found != fence:
        raise FencedError(
            f"this node is of {fence}, but the rendezvous store it found is of {found}"
        )


def claim_node(store: Store, node_rank: int, instance: str) -> None:
    """Take a node's place in the group; `instance` is random, so that equals are told apart."""
    holder = store.compare_set(_node_key(node_rank), "", instance)
    if holder != instance.encode():
        raise FencedError(
            f"another node has already joined this attempt as node rank {node_rank}; "
            "an attempt starts each node once"
        )


def nodes_here(store: Store, nnodes: int) -> int:
    """How many have claimed their place."""
    return sum(store.check([_node_key(rank)]) for rank in range(nnodes))


def tell_start(store: Store, *, needed: bool) -> None:
    """The leader's word: ranks are to start now, or there is nothing left for them to do."""
    store.set(_START_KEY, _NEEDED if needed else "not needed")


def start_told(store: Store) -> bool | None:
    """The leader's word; None before it."""
    if not store.check([_START_KEY]):
        return None
    return bool(store.get(_START_KEY) == _NEEDED.encode())


def tell_end(store: Store, node_rank: int) -> None:
    """All ranks of a node have ended well. Returns when the store knows it: `set` does not wait for
    an answer, so that nobody might be there any more."""
    store.set(_end_key(node_rank), "well")
    store.check([_end_key(node_rank)])


def nodes_ended(store: Store, nnodes: int) -> bool:
    """Have those of every node?"""
    return bool(store.check([_end_key(rank) for rank in range(nnodes)]))


def gather(store: Store, rank: int, world_size: int, *, seconds: float) -> None:
    """Wait until every rank is here; RendezvousError names those that are not."""
    deadline = time.monotonic() + seconds
    store.set(_rank_key(rank), "here")
    missing = [other for other in range(world_size) if other != rank]
    while missing:
        if store.check([_rank_key(other) for other in missing]):
            return
        missing = [other for other in missing if not store.check([_rank_key(other)])]
        if missing and time.monotonic() >= deadline:
            names = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
            raise RendezvousError(
                f"{len(missing)} of {world_size} ranks did not join within {seconds:g} s: {names}"
            )
        time.sleep(POLL_SECONDS)


def within(seconds: float, action: Callable[[], T], *, what: str, watch: Callable[[], bool]) -> T:
    """The result of `action`, which runs in a thread of its own and may block for ever.

    `watch` is called all along; InterruptedRunError once it is true. RendezvousError after
    `seconds`, naming `what` was waited for; the thread is then left behind.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    while thread.is_alive():
        if watch():
            raise InterruptedRunError(f"asked to end while waiting for {what}")
        if time.monotonic() >= deadline:
            raise RendezvousError(f"no answer within {seconds:g} s from {what}")
        thread.join(POLL_SECONDS)
    if errors:
        raise errors[0]
    return results[0]


def _node_key(node_rank: int) -> str:
    return f"lmtrainer/node/{node_rank}"


def _end_key(node_rank: int) -> str:
    return f"lmtrainer/ended/{node_rank}"


def _rank_key(rank: int) -> str:
    return f"lmtrainer/rank/{rank}"
