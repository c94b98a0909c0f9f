"""A node's place in the group: it opens the rendezvous store, or waits for it, compares the fence
and claims its rank. Callers: `node`, and `own`, whose ranks start at the leader's word.

All of that, the import of torch included, happens in a thread that may be left behind: the launcher
itself must go on watching its ranks, answering and obeying signals. The thread then keeps shaking
hands with the store, so that readiness is a fact at most a second old and costs a probe nothing.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from lmtrainer.contract.environment import NodeEnvironment, is_loopback
from lmtrainer.faults import RendezvousError
from lmtrainer.launch.sockets import listen, port_of
from lmtrainer.parallel.rendezvous import (
    Fence,
    claim_node,
    connect,
    handshake,
    nodes_ended,
    open_store,
    start_told,
    tell_end,
    tell_start,
)

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

HANDSHAKE_SECONDS = 0.5
"""Between two handshakes."""
SOON_SECONDS = 0.1
"""The same while the leader's word is awaited, and once this node is done."""
STALE_SECONDS = 3.0
"""A handshake older than this says nothing of now."""
MARGIN_SECONDS = 2.0
"""By how much the launcher is more patient than the thread."""


class Membership:
    """Begun with `start`; everything else may be read from any thread."""

    def __init__(self, node: NodeEnvironment, *, gated: bool = False) -> None:
        """Takes the master's port at once; RendezvousError if it cannot be had. `gated`: there is a
        word of the leader's to wait for."""
        self._node = node
        self._host, self._port = node.master_addr, node.master_port
        self._listener: socket.socket | None = None
        if node.is_master:
            self._listener = listen(node.master_addr, node.master_port, purpose="master port")
            self._port = port_of(self._listener)
            if not is_loopback(node.master_addr):
                self._host = "127.0.0.1"  # the master's own name may not resolve yet
        self._deadline = math.inf
        self._answered_at = -math.inf
        self._error: BaseException | None = None
        self._served: Store | None = None
        """Served for as long as this object lives."""
        self._wake = threading.Event()
        self._concluded = False
        self._gated = gated
        self._word: bool | None = None
        self.start_needed: bool | None = None
        """The leader's word: are there ranks to start? None until it is known to the store."""
        self.joined = False

    @property
    def port(self) -> int:
        """The real port of the store."""
        return self._port

    @property
    def fault(self) -> BaseException | None:
        """Why this node is not a member and will not be, or why it cannot hear the leader's word or
        tell of its end."""
        if not self._needs_answer:
            return None
        if self._error is None and time.monotonic() > self._deadline:
            return RendezvousError(
                f"no answer from the rendezvous store at {self._host}:{self._port} within "
                f"{self._node.rendezvous_seconds:g} s"
            )
        return self._error

    def start(self) -> None:
        # The thread gives the better reason, so it comes first unless it hangs.
        self._deadline = self._until()
        threading.Thread(target=self._run, daemon=True, name="membership").start()

    def unready(self) -> str:
        """Why the group cannot be joined through this node now; empty if it can."""
        store = f"the rendezvous store at {self._host}:{self._port}"
        if self._error is not None:
            return str(self._error)
        if not self.joined:
            return f"no handshake with {store} yet"
        age = time.monotonic() - self._answered_at
        return f"{store} has not answered for {age:.0f} s" if age > STALE_SECONDS else ""

    def say(self, *, start_needed: bool) -> None:
        """On the leader: its word for all nodes."""
        self._word = start_needed

    def conclude(self) -> bool:
        """Tell the group that all ranks of this node ended well. True once it knows; on the leader,
        once all other nodes have said so, too. One that cannot tell has a `fault`: the leader would
        wait for its word for ever."""
        if not self._wake.is_set():
            patience = math.inf if self._node.is_master else self._node.rendezvous_seconds
            self._deadline = time.monotonic() + patience
            self._wake.set()
        return self._concluded

    @property
    def _needs_answer(self) -> bool:
        """Can this node not go on without the store?"""
        if not self.joined or (self._gated and self.start_needed is None):
            return True
        return self._wake.is_set() and not self._concluded

    def _until(self) -> float:
        return time.monotonic() + self._node.rendezvous_seconds + MARGIN_SECONDS

    def _run(self) -> None:
        try:
            self._join_and_keep()
        except BaseException as error:
            self._error = error

    def _join_and_keep(self) -> None:
        node = self._node
        fence = Fence(node.job_uid, node.attempt)
        if self._listener is not None:
            self._served = open_store(self._listener, fence)
        client = connect(self._host, self._port, fence, seconds=node.rendezvous_seconds)
        claim_node(client, node.node_rank, os.urandom(8).hex())
        while True:
            handshake(client, fence)
            self._answered_at = time.monotonic()
            self.joined = True
            waiting = self._gated and not self._heard(client)
            if waiting:
                self._deadline = self._until()
            pause = SOON_SECONDS if waiting else HANDSHAKE_SECONDS
            if self._wake.wait(pause) and not self._concluded:
                tell_end(client, node.node_rank)
                self._concluded = not node.is_master or nodes_ended(client, node.nnodes)
            if self._wake.is_set():
                time.sleep(SOON_SECONDS)

    def _heard(self, client: Store) -> bool:
        """Pass the leader's word on, or hear it."""
        if self.start_needed is None:
            if self._word is not None:
                tell_start(client, needed=self._word)
            self.start_needed = start_told(client)
        return self.start_needed is not None
