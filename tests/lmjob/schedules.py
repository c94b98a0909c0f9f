"""A schedule of the work queue, and a clock that a test moves."""

from __future__ import annotations

from lmjob.kube.schedule import (
    Schedule,
)

UNIX = 1_800_000_000.0


class Clock:
    """Time stands still until a test moves it. The time of day is another clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.unix = UNIX

    def move(self, seconds: float) -> None:
        self.now += seconds
        self.unix += seconds


def make(clock: Clock, jitter: float = 0.999999) -> Schedule:
    return Schedule(clock=lambda: clock.now, unix=lambda: clock.unix, jitter=lambda: jitter)


def taken(schedule: Schedule) -> list[str]:
    """Everything that is ready now, each looked at with success."""
    keys = []
    while (key := schedule.take()) is not None:
        keys.append(key)
        schedule.done(key)
    return keys


def fail(schedule: Schedule, key: str, at_least: float = 0.0) -> None:
    schedule.add(key)
    assert schedule.take() == key
    schedule.failed(key, at_least)
