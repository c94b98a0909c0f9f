"""Whether this process does its work: when it last looked at the cluster with success.

The election and the resync tell it, `/healthz` and `/readyz` (`lmjob.kube.http`) ask it. That the
process answers proves nothing: a watch can be dead in a process that is well.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator


class Health:
    """Bounds and ages in seconds of `clock`, which is monotonic."""

    def __init__(
        self,
        *,
        resync_bound: float,
        look_bound: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`resync_bound`: oldest good resync of a leader. `look_bound`: oldest good look at the
        lease while standing by. Both must bear an API server that is away for a while: to begin
        anew helps nothing then."""
        self._bounds = (look_bound, resync_bound)
        self._clock = clock
        self._since = clock()
        self._leading = False
        self._serving = False

    def looked(self) -> None:
        """The lease was looked at with success."""
        self._serving = True
        if not self._leading:
            self._since = self._clock()

    def resynced(self) -> None:
        """All jobs and pods were listed with success."""
        if self._leading:
            self._since = self._clock()

    @contextlib.contextmanager
    def leading(self) -> Iterator[None]:
        """For as long as this process leads."""
        self._leading, self._since = True, self._clock()
        try:
            yield
        finally:
            self._leading, self._since = False, self._clock()

    @property
    def ready(self) -> bool:
        """It stands by or leads."""
        return self._serving

    def complaint(self) -> str:
        """What is wrong, in one sentence; empty if nothing is."""
        age, bound = self._clock() - self._since, self._bounds[self._leading]
        if age <= bound:
            return ""
        what = "listing of all jobs" if self._leading else "look at the lease"
        return f"the last good {what} was {age:.0f} s ago; at most {bound:.0f} s are allowed"
