"""Which key is looked at next, and when: the rules of the operator's queue, without any waiting.

`lmjob.kube.queue` carries it out. A key is ready (urgent or background), or comes later, or is in
work; a key that is added while in work is looked at once more afterwards. A key whose look failed
is backed off: resyncs do not hurry it, a fresh event does, but never below a floor. The delays
double as those of Ethernet's truncated binary exponential back-off, with jitter.
"""

from __future__ import annotations

import heapq
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_BACKOFF = 0.5
"""Seconds: the shortest back-off, and the floor that holds even against fresh events."""
LONGEST_BACKOFF = 60.0
BUSY = 8
"""Keys ready or in work, from which on what can wait should."""
CALM_SECONDS = 5.0
"""Without so many, until it may go on: in a burst, jobs wait together for others as well."""
URGENT_IN_A_ROW = 15
"""After so many, one background key has its turn: resyncs find what events did not tell."""


@dataclass(frozen=True)
class _Later:
    when: float
    urgent: bool


@dataclass(frozen=True)
class _Failed:
    times: int
    floor: float
    """Not looked at before, whatever happens."""


class Schedule:
    """Not for threads. `clock` is monotonic; `unix` only turns times of day into its times; both
    in seconds. `jitter` gives numbers in [0, 1)."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._unix, self._jitter = clock, unix, jitter
        self._urgent: dict[str, float] = {}
        self._background: dict[str, float] = {}
        """Key -> ready since, in the order of arrival."""
        self._later: dict[str, _Later] = {}
        self._heap: list[tuple[float, str]] = []
        """Times of `_later`, and outdated ones."""
        self._working: dict[str, bool | None] = {}
        """Key -> None, or added again while in work: whether urgently."""
        self._failed: dict[str, _Failed] = {}
        self._retried: set[str] = set()
        self._in_a_row = 0
        self._busy_until = -math.inf

    @property
    def depth(self) -> int:
        """Keys that are ready."""
        return len(self._urgent) + len(self._background)

    @property
    def busy(self) -> bool:
        """Many keys are ready or in work, or just were."""
        self._note_busy()
        return self._clock() < self._busy_until

    @property
    def oldest(self) -> float:
        """Seconds that the first ready key has waited; 0 if none waits."""
        since = (*self._urgent.values(), *self._background.values())
        return self._clock() - min(since) if since else 0.0

    def add(self, key: str, *, urgent: bool = False) -> None:
        """Look at a key as soon as its turn comes."""
        if key in self._working:
            self._working[key] = bool(self._working[key]) or urgent
        elif key not in self._failed or key not in self._later:
            self._make_ready(key, urgent)
        elif urgent:
            self._put_later(key, self._clock(), urgent=True)

    def add_at(self, key: str, when: float) -> None:
        """Look at a key at this Unix time, or sooner if anything else asks for it. The earliest
        time wins; the next look drops it, as every look says anew when the next one is due."""
        self._put_later(key, self._clock() + when - self._unix(), urgent=True)

    def retry(self, key: str, at_least: float = 0.0) -> None:
        """The look at a key failed: back off, `at_least` so many seconds."""
        times = self._failed[key].times + 1 if key in self._failed else 1
        now = self._clock()
        span = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(times, 30))
        self._failed[key] = _Failed(times, now + max(FIRST_BACKOFF, at_least))
        self._urgent.pop(key, None)
        self._background.pop(key, None)
        if key in self._working:
            self._retried.add(key)
        self._put_later(key, now + max(span * (0.5 + 0.5 * self._jitter()), at_least), urgent=False)

    def forget(self, key: str) -> None:
        """The key is well: its next failure is its first."""
        self._failed.pop(key, None)

    def take(self) -> str | None:
        """The next key, which is in work from now on; None if none is ready."""
        self._ripen()
        self._note_busy()
        if self._background and (not self._urgent or self._in_a_row >= URGENT_IN_A_ROW):
            ready, self._in_a_row = self._background, 0
        elif self._urgent:
            ready, self._in_a_row = self._urgent, self._in_a_row + 1
        else:
            return None
        key = next(iter(ready))
        del ready[key]
        self._later.pop(key, None)
        self._working[key] = None
        return key

    def done(self, key: str, look_at: float | None = None) -> None:
        """The look went well; the next one is due at this Unix time, if at any."""
        again = self._working.pop(key)
        if key not in self._retried:
            self.forget(key)
        self._retried.discard(key)
        if look_at is not None:
            self.add_at(key, look_at)
        if again is not None:
            self.add(key, urgent=again)

    def failed(self, key: str, at_least: float = 0.0) -> None:
        """The look failed."""
        again = self._working.pop(key)
        self._retried.discard(key)
        self.retry(key, at_least)
        if again is not None:
            self.add(key, urgent=again)

    def give_back(self) -> None:
        """The looks in work were broken off: nobody's fault, and due at once."""
        for key in self._working:
            self._make_ready(key, True)
        self._working.clear()
        self._retried.clear()

    def next_due(self) -> float | None:
        """Seconds until a key becomes ready by itself, 0 or more; None if none will."""
        while self._heap and self._outdated(*self._heap[0]):
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None

    def changed(self) -> None:
        """A key became ready, or the time of the next one moved. For who waits."""

    def _note_busy(self) -> None:
        if self.depth + len(self._working) > BUSY:
            self._busy_until = self._clock() + CALM_SECONDS

    def _make_ready(self, key: str, urgent: bool) -> None:
        if urgent and key not in self._urgent:
            self._urgent[key] = self._background.pop(key, self._clock())
        elif key not in self._urgent:
            self._background.setdefault(key, self._clock())
        self.changed()

    def _put_later(self, key: str, when: float, *, urgent: bool) -> None:
        if key in self._failed:
            when = max(when, self._failed[key].floor)
        old = self._later.get(key)
        if old is not None:
            when, urgent = min(when, old.when), urgent or old.urgent
        self._later[key] = _Later(when, urgent)
        heapq.heappush(self._heap, (when, key))
        if len(self._heap) > 2 * len(self._later) + 64:
            self._heap = [(later.when, key) for key, later in self._later.items()]
            heapq.heapify(self._heap)
        self.changed()

    def _ripen(self) -> None:
        while self.next_due() == 0.0:
            _, key = heapq.heappop(self._heap)
            later = self._later.pop(key)
            self.add(key, urgent=later.urgent)

    def _outdated(self, when: float, key: str) -> bool:
        later = self._later.get(key)
        return later is None or later.when != when
