"""Notes that nodes leave for each other in the store of their group: `dataset.rounds` says which.

Called by the stage `prepare`. No process group is formed: its exchanges bind all ranks to one pace
and are bounded by minutes, while nodes here wait for hours and come when they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lmtrainer.faults import InterruptedRunError
from lmtrainer.parallel.rendezvous import Fence, connect, nodes_here, within
from lmtrainer.stage import StageContext

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

PAUSE_SECONDS = 0.5
SILENT_SECONDS = 300.0
"""A store that does not answer for so long is as good as gone."""

_PREFIX = "prepare/"

T = TypeVar("T")


class Board:
    """One node's view, of the store that the master's launcher serves. Each call is also a sign of
    life. RendezvousError or torch's own if the store is gone, FencedError if it is of another
    attempt, InterruptedRunError once this node is asked to end."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._store: Store | None = None

    def read(self, name: str) -> str | None:
        """A note, or None if there is none."""
        key = _PREFIX + name

        def ask(store: Store) -> str | None:
            return store.get(key).decode() if store.check([key]) else None

        return self._ask(ask)

    def write(self, name: str, text: str) -> None:
        self._ask(lambda store: store.set(_PREFIX + name, text))

    def count(self, name: str) -> int:
        """Count the calls of all nodes, this one included."""
        return self._ask(lambda store: store.add(_PREFIX + name, 1))

    def nodes(self) -> int:
        """How many have come so far, this one included."""
        return self._ask(lambda store: nodes_here(store, self._context.node.nnodes))

    def pause(self) -> None:
        """Wait a moment."""
        self._go_on()
        time.sleep(PAUSE_SECONDS)

    def _ask(self, question: Callable[[Store], T]) -> T:
        """In a thread that may be left behind: a store that is silent would hold this one."""
        self._go_on()
        node = self._context.node
        what = f"the rendezvous store at {node.master_addr}:{node.master_port}"
        if self._store is None:
            seconds = node.rendezvous_seconds
            self._store = within(seconds + 1, self._connect, what=what, watch=self._interrupted)
        store = self._store
        return within(SILENT_SECONDS, lambda: question(store), what=what, watch=self._interrupted)

    def _connect(self) -> Store:
        node = self._context.node
        fence = Fence(node.job_uid, node.attempt)
        return connect(node.master_addr, node.master_port, fence, seconds=node.rendezvous_seconds)

    def _go_on(self) -> None:
        if self._interrupted():
            raise InterruptedRunError("asked to end; the parts that are done are kept")

    def _interrupted(self) -> bool:
        self._context.reports.heartbeat()
        return self._context.stop.requested
