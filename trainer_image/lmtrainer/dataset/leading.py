"""Who gives out the tasks that make a dataset, alone or before other nodes, and does some.

Called by `dataset.reading` and `dataset.sharding`, which know the tasks; the stage `prepare` says
who there is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from lmtrainer.config import document
from lmtrainer.dataset.crew import Crew, Sized
from lmtrainer.dataset.rounds import LEFT, Board, Round, Seldom, Talk, name_of
from lmtrainer.text.files import OnRead

LEAVE_SECONDS = 30.0
"""How long a leader that is done waits for the others to hear of it: one may be starting."""

M = TypeVar("M")
T = TypeVar("T", bound=Sized)
R = TypeVar("R")
"""Something that is the same once it was written as JSON and read."""


@dataclass(frozen=True)
class Given(Generic[M, T, R]):
    """The tasks of a round."""

    announced: Round
    act: Callable[[M, T, OnRead], R]
    """A function of a module."""
    tasks: Mapping[int, T]
    """By their numbers, in the order in which they are begun."""


class Nodes(Protocol):
    """Those that prepare a dataset, as the leader sees them."""

    on_this_machine: int
    """How many share this machine's processors."""

    def each(
        self, given: Given[M, T, R], crew: Crew[M], on_read: OnRead
    ) -> Iterator[tuple[int, R]]:
        """What was made of each task, by number, as they get done; see `Crew.each`."""
        ...


class Alone:
    """A leader without others."""

    on_this_machine = 1

    def each(
        self, given: Given[M, T, R], crew: Crew[M], on_read: OnRead
    ) -> Iterator[tuple[int, R]]:
        yield from crew.each(given.act, given.tasks.items(), on_read)


ALONE = Alone()


class Kept:
    """Nodes, and somebody who hears how many bytes of text are encoded for good."""

    def __init__(self, nodes: Nodes, hear: Callable[[int], None]) -> None:
        self._nodes = nodes
        self._hear = hear
        self.on_this_machine = nodes.on_this_machine

    def each(
        self, given: Given[M, T, R], crew: Crew[M], on_read: OnRead
    ) -> Iterator[tuple[int, R]]:
        for number, found in self._nodes.each(given, crew, on_read):
            if given.announced.kind == "encode":
                self._hear(given.tasks[number].size)
            yield number, found


class Leading:
    """The leader of several nodes."""

    def __init__(self, board: Board, on_this_machine: int = 1) -> None:
        self._board = board
        self._rounds = 0
        self.on_this_machine = on_this_machine

    def each(
        self, given: Given[M, T, R], crew: Crew[M], on_read: OnRead
    ) -> Iterator[tuple[int, R]]:
        talk = Talk(self._board, self._announce(json.dumps(document(given.announced))))
        seldom = Seldom()
        news: list[tuple[int, R]] = []
        left = len(given.tasks)

        def look(count: int) -> None:
            told = list(talk.news()) if seldom.due() else []
            news.extend(told)
            on_read(count + sum(given.tasks[number].size for number, _ in told))

        for found in crew.each(given.act, talk.drawn(given.tasks), look):
            left -= 1
            yield found
            left -= len(news)
            yield from _taken(news)
        while left:
            self._board.pause()
            look(0)
            left -= len(news)
            yield from _taken(news)

    def end(self) -> None:
        """Tell the others that no round comes any more, and let them go before us: they would take
        our end for a fault. One that has not come yet is not waited for."""
        self._announce("")
        deadline = time.monotonic() + LEAVE_SECONDS
        while int(self._board.read(LEFT) or 0) < self._board.nodes() - 1:
            if time.monotonic() > deadline:
                return
            self._board.pause()

    def _announce(self, text: str) -> int:
        self._board.write(name_of(self._rounds), text)
        self._rounds += 1
        return self._rounds - 1


def _taken(news: list[tuple[int, R]]) -> Iterator[tuple[int, R]]:
    """All of it, which is then no news any more."""
    while news:
        yield news.pop(0)
