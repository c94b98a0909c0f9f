"""When a job is looked at again after a look at it has failed."""

from __future__ import annotations

import pytest

from lmjob.kube.schedule import (
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    Schedule,
)
from tests.lmjob.schedules import Clock, fail, make, taken


def test_back_off_doubles_up_to_a_minute_and_success_resets_it(clock: Clock) -> None:
    schedule = make(clock)
    waits = []
    schedule.add("a")
    for _ in range(10):
        clock.move(schedule.next_due() or 0)
        assert schedule.take() == "a"
        schedule.failed("a")
        due = schedule.next_due()
        assert due is not None
        waits.append(due)
    assert waits[:4] == pytest.approx([1, 2, 4, 8], rel=1e-3)
    assert max(waits) <= LONGEST_BACKOFF
    assert waits[-1] == pytest.approx(LONGEST_BACKOFF, rel=1e-3)
    clock.move(LONGEST_BACKOFF)
    assert taken(schedule) == ["a"]
    fail(schedule, "a")
    assert schedule.next_due() == pytest.approx(1, rel=1e-3)


def test_jitter_halves_a_back_off_at_most(clock: Clock) -> None:
    lowest, highest = make(clock, jitter=0.0), make(clock, jitter=0.999999)
    for schedule in (lowest, highest):
        fail(schedule, "a")
    assert lowest.next_due() == pytest.approx(FIRST_BACKOFF)
    assert highest.next_due() == pytest.approx(2 * FIRST_BACKOFF, rel=1e-3)


def test_the_server_s_own_word_about_waiting_is_kept(schedule: Schedule, clock: Clock) -> None:
    fail(schedule, "a", at_least=20)
    schedule.add("a", urgent=True)
    clock.move(19.9)
    assert taken(schedule) == []
    clock.move(0.2)
    assert taken(schedule) == ["a"]


def test_the_resync_does_not_hurry_a_failing_key_but_an_event_does_above_a_floor(
    schedule: Schedule, clock: Clock
) -> None:
    for _ in range(6):
        fail(schedule, "a")
        clock.move(61)
        assert schedule.take() == "a"
        schedule.failed("a")
        schedule.forget("b")
        clock.move(61)
    fail(schedule, "a")
    clock.move(10)
    schedule.add("a")
    assert taken(schedule) == []
    schedule.add("a", urgent=True)
    assert taken(schedule) == ["a"]
    fail(schedule, "a")
    schedule.add("a", urgent=True)
    assert taken(schedule) == []
    clock.move(FIRST_BACKOFF)
    assert taken(schedule) == ["a"]


def test_an_event_during_a_look_that_fails_is_not_lost(schedule: Schedule, clock: Clock) -> None:
    for _ in range(8):
        fail(schedule, "a")
        clock.move(61)
    assert schedule.take() == "a"
    schedule.add("a", urgent=True)
    schedule.failed("a")
    clock.move(FIRST_BACKOFF)
    assert taken(schedule) == ["a"]


def test_a_handler_may_ask_for_a_back_off_without_an_exception(
    schedule: Schedule, clock: Clock
) -> None:
    for expected in (1, 2, 4):
        schedule.add("a", urgent=True)
        clock.move(schedule.next_due() or 0)
        assert schedule.take() == "a"
        schedule.retry("a")
        schedule.done("a")
        assert schedule.next_due() == pytest.approx(expected, rel=1e-3)


def test_forgetting_a_key_ends_its_back_off(schedule: Schedule, clock: Clock) -> None:
    for _ in range(3):
        clock.move(61)
        fail(schedule, "a")
    schedule.forget("a")
    schedule.add("a")
    assert taken(schedule) == ["a"]
    fail(schedule, "a")
    assert schedule.next_due() == pytest.approx(1, rel=1e-3)
