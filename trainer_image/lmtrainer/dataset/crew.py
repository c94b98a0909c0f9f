"""Processes that do tasks one by one: as many as asked for, or this one alone.

Called by `dataset.sharding`. Each has a member of its own, copied from the first, that keeps what
is dear to make. They are started afresh, not forked, for the tokenizers have threads; and they end
with the one that started them, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, TypeVar

from lmtrainer.text.files import OnRead

M = TypeVar("M")
T = TypeVar("T")


class Crew(Generic[M]):
    """To be used as a context. With one process, this one does the tasks."""

    def __init__(self, member: M, processes: int) -> None:
        self._member = member
        self._processes = processes
        self._pool: Executor | None = None

    def __enter__(self) -> Crew[M]:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def each(
        self,
        act: Callable[[M, T, OnRead], int],
        tasks: Iterable[T],
        size: Callable[[T], int],
        on_read: OnRead,
    ) -> Iterator[tuple[T, int]]:
        """Each task and what `act`, a function of a module, made of it, as they get done. `on_read`
        hears of bytes read; `size` is how many a task has in all."""
        if self._processes == 1:
            for task in tasks:
                yield task, act(self._member, task, on_read)
            return
        pool = self._started()
        futures = {pool.submit(_do, act, task): task for task in tasks}
        for future in as_completed(futures):
            task = futures.pop(future)
            try:
                found = future.result()
            except BrokenProcessPool:
                raise RuntimeError(
                    "a process that prepared text ended at once; if its memory was used up, give "
                    "the stage more, or lower data.processes"
                ) from None
            on_read(size(task))
            yield task, found

    def _started(self) -> Executor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._member,),
            )
        return self._pool


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


def _do(act: Callable[[Any, Any, OnRead], int], task: Any) -> int:
    return act(_member, task, lambda count: None)
