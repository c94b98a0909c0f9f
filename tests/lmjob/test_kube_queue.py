"""The operator's work queue: what it does with keys that are due."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from lmjob.kube.errors import Unavailable
from lmjob.kube.queue import KeyedQueue
from tests.lmjob.schedules import Clock

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
