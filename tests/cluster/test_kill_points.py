"""The operator dies by SIGKILL just before and just after each of its writes: the end is that of an
undisturbed run, and no rule is broken at any revision.

All points with LMJOB_CHAOS=full; without it a sample of each scenario, the first and the last write
among them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.harness.doors import When
from tests.cluster.harness.endstate import differences, end_state
from tests.cluster.harness.judge import judge
from tests.cluster.harness.operators import Starter
from tests.cluster.harness.scenarios import SCENARIOS, Scenario
from tests.cluster.harness.scene import Lab, scene
from tests.faultpoints import ALL

SAMPLE = 8
"""Points of a scenario without LMJOB_CHAOS=full."""
REACHED = 0.7
"""Least share of the points at which the operator really died."""
AT_ONCE = 10
"""Scenes that play at the same time on one API server."""


@dataclass(frozen=True)
class Point:
    """Where the operator dies; write 0: nowhere."""

    write: int = 0
    when: When = "before"

    def __str__(self) -> str:
        return f"killed {self.when} write {self.write}" if self.write else "undisturbed"


@dataclass(frozen=True)
class Outcome:
    writes: int
    state: Any
    died: bool


class Stage:
    """Plays scenarios, each in a scene of its own."""

    def __init__(self, lab: Lab, starter: Starter, folder: Path) -> None:
        self._lab, self._starter, self._folder = lab, starter, folder

    def play(self, scenario: Scenario, point: Point) -> Outcome:
        """The end of one run. AssertionError if it does not end or breaks a rule."""
        with scene(self._lab, self._starter, self._folder, scenario.do) as here:
            faults = here.door.faults
            faults.kill_at, faults.kill_when = point.write, point.when
            faults.kill = here.operator.kill_and_start
            here.operator.start()
            scenario.act(here)
            history = here.settled()
            broken = judge(history, seed=f"{scenario.name}, {point}", now=time.monotonic())
            assert not broken, "\n".join(map(str, broken)) + here.story()
            return Outcome(len(here.door.writes), end_state(history), here.operator.starts > 1)


@pytest.fixture(scope="module")
def theatre(lab: Lab, nursery: Starter, tmp_path_factory: Any) -> Stage:
    return Stage(lab, nursery, tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield threads


@pytest.fixture(scope="module")
def undisturbed(theatre: Stage, pool: ThreadPoolExecutor) -> Mapping[str, tuple[Outcome, Outcome]]:
    """Each scenario twice: what is the same in both is what a disturbed run must come to."""
    twice = [pool.map(lambda scenario: theatre.play(scenario, Point()), SCENARIOS) for _ in "12"]
    return {
        scenario.name: pair
        for scenario, pair in zip(SCENARIOS, zip(*twice, strict=True), strict=True)
    }


@pytest.mark.chaos
@pytest.mark.timeout(1800 if ALL else 300)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_an_operator_may_be_killed_at_any_write(
    theatre: Stage, pool: ThreadPoolExecutor, undisturbed: Any, scenario: Scenario
) -> None:
    first, second = undisturbed[scenario.name]
    assert differences(first.state, second.state) == [], "two undisturbed runs end alike"
    points = sample(min(first.writes, second.writes))
    ends = list(pool.map(lambda point: theatre.play(scenario, point), points))
    # How many writes of a status become one depends on time: the last points may not be reached.
    assert sum(end.died for end in ends) >= REACHED * len(points)
    for point, end in zip(points, ends, strict=True):
        assert differences(end.state, first.state) == [], f"{scenario.name}, {point}"


def sample(writes: int) -> list[Point]:
    """All points, or some: evenly over the run, before and after in turn."""
    points = [Point(number, when) for number in range(1, writes + 1) for when in WHENS]
    if ALL or len(points) <= SAMPLE:
        return points
    last = len(points) - 1
    places = sorted({round(step * last / (SAMPLE - 1)) for step in range(SAMPLE)})
    return [points[place] for place in places]


WHENS: tuple[When, ...] = ("before", "after")
