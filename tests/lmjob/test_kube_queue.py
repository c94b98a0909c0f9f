"""The operator's work queue: who is looked at, when, and after which failure."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from lmjob.kube.errors import Unavailable
from lmjob.kube.queue import KeyedQueue
from lmjob.kube.schedule import (
    BUSY,
    CALM_SECONDS,
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    URGENT_IN_A_ROW,
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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedule(clock: Clock) -> Schedule:
    return make(clock)


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


def test_forgetting_a_key_ends_its_back_off(schedule: Schedule) -> None:
    for _ in range(3):
        fail_now(schedule, "a")
    schedule.forget("a")
    schedule.add("a")
    assert taken(schedule) == ["a"]
    fail(schedule, "a")
    assert schedule.next_due() == pytest.approx(1, rel=1e-3)


def fail_now(schedule: Schedule, key: str) -> None:
    schedule.add(key)
    if schedule.take() == key:
        schedule.failed(key)


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


# With real time: `run`.


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        await asyncio.sleep(0.005)


async def with_run(
    queue: KeyedQueue,
    handler: Callable[[str], Awaitable[float | None]],
    test: Callable[[], Awaitable[None]],
    concurrency: int = 4,
) -> None:
    running = asyncio.create_task(queue.run(handler, concurrency))
    try:
        await test()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_many_keys_are_worked_on_at_once_up_to_the_limit() -> None:
    queue = KeyedQueue()
    now: Counter[str] = Counter()
    most = 0
    looks: list[str] = []

    async def handler(key: str) -> None:
        nonlocal most
        now[key] += 1
        assert now[key] == 1
        most = max(most, now.total())
        await asyncio.sleep(random.uniform(0, 0.01))
        now[key] -= 1
        looks.append(key)

    async def test() -> None:
        for number in range(20):
            queue.add(f"k{number}")
        await until(lambda: len(looks) == 20)

    asyncio.run(with_run(queue, handler, test, concurrency=3))
    assert most == 3


def test_the_next_look_comes_when_the_handler_said() -> None:
    queue = KeyedQueue()
    at: list[float] = []

    async def handler(key: str) -> float | None:
        at.append(time.time())
        return time.time() + 0.2 if len(at) < 3 else None

    async def test() -> None:
        queue.add("a")
        await until(lambda: len(at) == 3)
        await asyncio.sleep(0.3)

    asyncio.run(with_run(queue, handler, test))
    assert len(at) == 3
    assert at[1] - at[0] == pytest.approx(0.2, abs=0.1)


@pytest.mark.parametrize(
    "error",
    [ValueError("poison"), Unavailable("down"), RecursionError(), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
def test_a_poison_key_stops_nothing_delays_nobody_and_is_logged_once(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    queue = KeyedQueue()
    good: list[float] = []
    tries = 0

    async def handler(key: str) -> None:
        nonlocal tries
        if key == "poison":
            tries += 1
            raise error
        good.append(time.monotonic())

    async def test() -> None:
        queue.add("poison", urgent=True)
        begin = time.monotonic()
        for number in range(50):
            queue.add(f"good{number}")
        await until(lambda: len(good) == 50)
        assert max(good) - begin < 0.2
        await until(lambda: tries == 2)

    with caplog.at_level(logging.INFO):
        asyncio.run(with_run(queue, handler, test, concurrency=1))
    assert len(caplog.records) == 2
    assert all("poison" in record.getMessage() for record in caplog.records)


def test_a_handler_that_returns_nonsense_is_a_failure_of_its_key_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = KeyedQueue()
    seen: list[str] = []

    async def handler(key: str) -> float | None:
        seen.append(key)
        return float("nan") if key == "bad" else None

    async def test() -> None:
        queue.add("bad")
        queue.add("good")
        await until(lambda: seen.count("bad") == 2)

    asyncio.run(with_run(queue, handler, test))
    assert "good" in seen


def test_an_error_that_says_when_to_come_back_is_obeyed() -> None:
    clock = Clock()

    async def handler(key: str) -> None:
        raise Unavailable("busy", retry_after=40)

    async def test() -> None:
        queue = KeyedQueue(clock=lambda: clock.now, unix=lambda: clock.unix)
        queue.add("a")

        async def failed() -> None:
            await until(lambda: queue.next_due() is not None)

        await with_run(queue, handler, failed)
        assert queue.next_due() == pytest.approx(40)

    asyncio.run(test())


def test_a_stopped_queue_keeps_what_was_in_work_for_the_next_run() -> None:
    queue = KeyedQueue()
    began: list[str] = []
    ended: list[str] = []

    async def slow(key: str) -> None:
        began.append(key)
        await asyncio.sleep(60)

    async def quick(key: str) -> None:
        ended.append(key)

    async def test() -> None:
        running = asyncio.create_task(queue.run(slow, 2))
        for key in ("a", "b", "c"):
            queue.add(key)
        await until(lambda: len(began) == 2)
        queue.add("d")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        async def all_again() -> None:
            await until(lambda: len(ended) == 4)

        await with_run(queue, quick, all_again)

    asyncio.run(test())
    assert sorted(ended) == ["a", "b", "c", "d"]
