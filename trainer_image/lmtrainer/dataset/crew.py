"""Processes that do tasks one by one: as many as asked for, or this one alone.

Called by `dataset.leading` and `dataset.following`. Each has a member of its own, copied from the
first, that keeps what is dear to make. They are started afresh, not forked, for the tokenizers have
threads; and they end with the one that started them, however it ends.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, Protocol, TypeVar

from lmtrainer.text.files import OnRead

PULSE_SECONDS = 0.5
"""How often whoever waits for a task hears that nothing was read: time to look for other news."""


class Sized(Protocol):
    """A task."""

    @property
    def size(self) -> int:
        """Bytes of text that are read for it."""
        ...


M = TypeVar("M")
T = TypeVar("T", bound=Sized)
R = TypeVar("R")


class Crew(Generic[M]):
    """To be used as a context. With one process, this one does the tasks."""

    def __init__(self, member: M, processes: int) -> None:
        self._member = member
        self._processes = processes
        self._pool: Executor | None = None

    def __enter__(self) -> Crew[M]:
        return self

    def __exit__(self, fault: object, *_: object) -> None:
        # After a fault nobody waits for tasks that are under way: they end with this process.
        if self._pool is not None:
            self._pool.shutdown(wait=fault is None, cancel_futures=True)

    def each(
        self,
        act: Callable[[M, T, OnRead], R],
        tasks: Iterable[tuple[int, T]],
        on_read: OnRead,
    ) -> Iterator[tuple[int, R]]:
        """What `act`, a function of a module, made of each numbered task, as they get done. A task
        is drawn when somebody can begin with it. `on_read` hears of bytes read."""
        if self._processes == 1:
            for number, task in tasks:
                yield number, act(self._member, task, on_read)
            return
        pool, left = self._started(), iter(tasks)
        busy: dict[Future[R], tuple[int, T]] = {}
        while True:
            for number, task in itertools.islice(left, self._processes - len(busy)):
                busy[pool.submit(_do, act, task)] = number, task
            if not busy:
                return
            done, _ = wait(busy, timeout=PULSE_SECONDS, return_when=FIRST_COMPLETED)
            on_read(0)
            for future in done:
                number, task = busy.pop(future)
                found = _result(future)
                on_read(task.size)
                yield number, found

    def _started(self) -> Executor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._member,),
            )
        return self._pool


def _result(future: Future[R]) -> R:
    try:
        return future.result()
    except BrokenProcessPool:
        raise RuntimeError(
            "a process that prepared text ended at once; if its memory was used up, give "
            "the stage more, or lower data.processes"
        ) from None


_member: Any = None
"""In a process of a crew: what it works with."""


def _begin(member: Any) -> None:
    global _member
    _member = member
    # There are as many processes as there are processors: threads would only get in the way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(act: Callable[[Any, Any, OnRead], R], task: Any) -> R:
    return act(_member, task, lambda count: None)
