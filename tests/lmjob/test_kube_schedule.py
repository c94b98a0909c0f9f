"""Who is looked at by the operator, in which order, and when."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from lmjob.kube.schedule import (
    BUSY,
    CALM_SECONDS,
    LONGEST_BACKOFF,
    URGENT_IN_A_ROW,
    Schedule,
)
from tests.lmjob.schedules import UNIX, Clock, fail, make, taken


def test_it_is_busy_with_many_keys_and_for_a_while_after(schedule: Schedule, clock: Clock) -> None:
    for number in range(BUSY):
        schedule.add(f"team/{number}")
    assert not schedule.busy
    schedule.add("team/more")
    while (key := schedule.take()) is not None:
        schedule.done(key)
    clock.move(CALM_SECONDS - 0.1)
    assert schedule.busy, "in a burst, jobs wait together for others"
    clock.move(0.2)
    assert not schedule.busy


def test_first_come_first_served_and_fresh_events_before_the_resync(schedule: Schedule) -> None:
    for key in ("r1", "r2"):
        schedule.add(key)
    for key in ("e1", "e2"):
        schedule.add(key, urgent=True)
    assert taken(schedule) == ["e1", "e2", "r1", "r2"]


def test_a_key_that_is_added_often_is_looked_at_once(schedule: Schedule) -> None:
    for _ in range(3):
        schedule.add("a")
        schedule.add("a", urgent=True)
        schedule.add("a")
    assert taken(schedule) == ["a"]


def test_an_event_moves_a_waiting_key_forward(schedule: Schedule) -> None:
    schedule.add("a")
    schedule.add("b")
    schedule.add("b", urgent=True)
    assert taken(schedule) == ["b", "a"]


def test_endless_events_cannot_starve_the_resync(schedule: Schedule) -> None:
    schedule.add("resync")
    seen = []
    for number in range(URGENT_IN_A_ROW + 1):
        schedule.add(f"e{number}", urgent=True)
        key = schedule.take()
        assert key is not None
        seen.append(key)
        schedule.done(key)
    assert seen[-1] == "resync"
    assert len(seen) == URGENT_IN_A_ROW + 1


def test_a_key_is_never_in_work_twice_and_once_more_afterwards(schedule: Schedule) -> None:
    schedule.add("a")
    assert schedule.take() == "a"
    for _ in range(3):
        schedule.add("a", urgent=True)
    assert schedule.take() is None
    schedule.done("a")
    assert taken(schedule) == ["a"]
    assert taken(schedule) == []


def test_an_event_during_a_look_stays_urgent(schedule: Schedule) -> None:
    schedule.add("a")
    assert schedule.take() == "a"
    schedule.add("a", urgent=True)
    schedule.add("a")
    schedule.add("b")
    schedule.done("a")
    assert taken(schedule) == ["a", "b"]


def test_a_timed_look_comes_at_its_time_and_the_earliest_wins(
    schedule: Schedule, clock: Clock
) -> None:
    schedule.add_at("a", UNIX + 20)
    schedule.add_at("a", UNIX + 10)
    schedule.add_at("a", UNIX + 30)
    assert schedule.next_due() == pytest.approx(10)
    clock.move(9.9)
    assert taken(schedule) == []
    clock.move(0.2)
    assert taken(schedule) == ["a"]
    clock.move(60)
    assert taken(schedule) == []
    assert schedule.next_due() is None


def test_a_time_in_the_past_is_now(schedule: Schedule) -> None:
    schedule.add_at("a", UNIX - 5)
    assert schedule.next_due() == 0
    assert taken(schedule) == ["a"]


def test_a_look_drops_the_time_that_an_older_one_asked_for(
    schedule: Schedule, clock: Clock
) -> None:
    schedule.add_at("a", UNIX + 10)
    schedule.add("a", urgent=True)
    assert taken(schedule) == ["a"]
    clock.move(20)
    assert taken(schedule) == []


def test_a_dropped_time_does_not_bring_a_later_one_forward(
    schedule: Schedule, clock: Clock
) -> None:
    schedule.add_at("a", UNIX + 10)
    schedule.add("a")
    assert schedule.take() == "a"
    schedule.done("a", UNIX + 50)
    clock.move(11)
    assert taken(schedule) == []
    clock.move(40)
    assert taken(schedule) == ["a"]


def test_a_time_that_is_asked_for_during_a_look_is_kept(schedule: Schedule, clock: Clock) -> None:
    schedule.add("a")
    assert schedule.take() == "a"
    schedule.add_at("a", UNIX + 5)
    schedule.done("a", UNIX + 50)
    clock.move(5.1)
    assert taken(schedule) == ["a"]


def test_a_time_that_comes_during_a_look_is_not_lost(schedule: Schedule, clock: Clock) -> None:
    schedule.add("a")
    assert schedule.take() == "a"
    schedule.add_at("a", UNIX + 5)
    clock.move(6)
    assert schedule.take() is None
    schedule.done("a")
    assert taken(schedule) == ["a"]


def test_a_jump_of_the_time_of_day_delays_nothing(schedule: Schedule, clock: Clock) -> None:
    schedule.add_at("a", UNIX + 10)
    fail(schedule, "b")
    clock.unix -= 3600
    clock.now += 11
    assert sorted(taken(schedule)) == ["a", "b"]


def test_depth_and_age_tell_how_far_behind_the_operator_is(
    schedule: Schedule, clock: Clock
) -> None:
    assert (schedule.depth, schedule.oldest) == (0, 0.0)
    schedule.add("a")
    clock.move(3)
    schedule.add("b", urgent=True)
    schedule.add_at("c", clock.unix + 50)
    assert schedule.depth == 2
    assert schedule.oldest == pytest.approx(3)
    schedule.add("a", urgent=True)
    assert schedule.oldest == pytest.approx(3)
    taken(schedule)
    assert (schedule.depth, schedule.oldest) == (0, 0.0)


def test_a_key_that_is_timed_again_and_again_costs_no_memory(schedule: Schedule) -> None:
    for number in range(10_000):
        schedule.add_at("a", UNIX + 1000 - number / 100)
    assert len(schedule._heap) < 100
    assert schedule.next_due() == pytest.approx(1000 - 99.99)


class Chaos(RuleBasedStateMachine):
    """Random operations; at the end comes everything that was asked for and not looked at since."""

    keys = st.sampled_from("abc")
    seconds = st.floats(0, 30)

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.schedule = make(self.clock)
        self.working: list[str] = []
        self.owed: set[str] = set()

    @rule(key=keys, urgent=st.booleans())
    def add(self, key: str, urgent: bool) -> None:
        self.schedule.add(key, urgent=urgent)
        self.owed.add(key)

    @rule(key=keys, seconds=seconds)
    def add_at(self, key: str, seconds: float) -> None:
        self.schedule.add_at(key, self.clock.unix + seconds)
        self.owed.add(key)

    @rule(seconds=seconds)
    def wait(self, seconds: float) -> None:
        self.clock.move(seconds)

    @rule()
    def take(self) -> None:
        key = self.schedule.take()
        if key is not None:
            assert key not in self.working
            self.working.append(key)
            self.owed.discard(key)

    @precondition(lambda self: self.working)
    @rule(again=st.none() | seconds)
    def done(self, again: float | None) -> None:
        key = self.working.pop(0)
        self.schedule.done(key, None if again is None else self.clock.unix + again)
        if again is not None:
            self.owed.add(key)

    @precondition(lambda self: self.working)
    @rule()
    def failed(self) -> None:
        key = self.working.pop(0)
        self.schedule.failed(key)
        self.owed.add(key)

    def teardown(self) -> None:
        for key in self.working:
            self.schedule.done(key)
        self.clock.move(LONGEST_BACKOFF)
        assert self.owed <= set(taken(self.schedule))


Chaos.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


class TestNoKeyIsEverLostOrInWorkTwice(Chaos.TestCase):
    pass
