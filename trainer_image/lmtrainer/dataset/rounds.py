"""Tasks shared out among the nodes of a stage: numbered, drawn by whoever is free, told when done.

Called by `dataset.sharding` on the leader and by `dataset.following` on the others. A round is a
set of tasks. The leader announces it on a board that all nodes see; each node draws the number of a
task that nobody has, does it with its own crew of processes, and tells. Who does what changes no
byte. A node that ends before the round does ends the whole attempt: that is not our affair.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from lmtrainer.config import document, parse
from lmtrainer.dataset.crew import PULSE_SECONDS, Crew, Sized
from lmtrainer.text.files import OnRead

LEAVE_SECONDS = 30.0
"""How long a leader that is done waits for the others to hear of it: one may be starting."""

M = TypeVar("M")
T = TypeVar("T", bound=Sized)
R = TypeVar("R")
"""Something that is the same once it was written as JSON and read."""


class Board(Protocol):
    """Where nodes leave notes for each other: `parallel.board` in a group. Every call raises if the
    group is gone, or if this node is asked to end."""

    def read(self, name: str) -> str | None: ...

    def write(self, name: str, text: str) -> None: ...

    def count(self, name: str) -> int:
        """One more than the call before it, on whichever node; from 1."""
        ...

    def nodes(self) -> int:
        """How many have come so far, this one included."""
        ...

    def pause(self) -> None:
        """Wait a moment."""
        ...


@dataclass(frozen=True, kw_only=True)
class Round:
    """What the leader says of a round. The others find the text by themselves."""

    kind: Literal["read", "count", "encode"]
    text: str
    """sha256 of names and sizes, piece by piece: that of who sees the same text."""
    numbers: tuple[int, ...]
    """Of the pieces: groups of files to be read, parts to be counted or encoded."""
    firsts: tuple[int, ...] = ()
    """To encode: the number of each one's first document."""
    fingerprint: str = ""
    """Of everything that the dataset is made from; not known before the text was read."""
    home: str = ""
    """Folder of the tokenizer and the dataset."""
    tokenizer: str = ""
    """sha256 of the tokenizer's manifest."""


class Nodes(Protocol):
    """Those that prepare a dataset, as the leader sees them."""

    on_this_machine: int
    """How many share this machine's processors."""

    def each(
        self,
        announced: Round,
        crew: Crew[M],
        act: Callable[[M, T, OnRead], R],
        tasks: Mapping[int, T],
        on_read: OnRead,
    ) -> Iterator[tuple[int, R]]:
        """What `act` made of each task, by number, as they get done; see `Crew.each`."""
        ...


class Kept:
    """Nodes, and somebody who hears how many bytes of text are encoded for good."""

    def __init__(self, nodes: Nodes, hear: Callable[[int], None]) -> None:
        self._nodes = nodes
        self._hear = hear
        self.on_this_machine = nodes.on_this_machine

    def each(
        self,
        announced: Round,
        crew: Crew[M],
        act: Callable[[M, T, OnRead], R],
        tasks: Mapping[int, T],
        on_read: OnRead,
    ) -> Iterator[tuple[int, R]]:
        for number, found in self._nodes.each(announced, crew, act, tasks, on_read):
            if announced.kind == "encode":
                self._hear(tasks[number].size)
            yield number, found


class Alone:
    """A leader without others."""

    on_this_machine = 1

    def each(
        self,
        announced: Round,
        crew: Crew[M],
        act: Callable[[M, T, OnRead], R],
        tasks: Mapping[int, T],
        on_read: OnRead,
    ) -> Iterator[tuple[int, R]]:
        yield from crew.each(act, tasks.items(), on_read)


ALONE = Alone()


class Leading:
    """The leader of several nodes."""

    def __init__(self, board: Board, on_this_machine: int = 1) -> None:
        self._board = board
        self._rounds = 0
        self.on_this_machine = on_this_machine

    def each(
        self,
        announced: Round,
        crew: Crew[M],
        act: Callable[[M, T, OnRead], R],
        tasks: Mapping[int, T],
        on_read: OnRead,
    ) -> Iterator[tuple[int, R]]:
        here = self._announce(json.dumps(document(announced)))
        news = _News(self._board, here)
        left = len(tasks)

        def look(count: int) -> None:
            on_read(count + sum(tasks[number].size for number, _ in news.look()))

        for found in crew.each(act, _drawn(self._board, here, tasks), look):
            told = [found, *news.taken()]
            left -= len(told)
            yield from told
        while left:
            self._board.pause()
            look(0)
            told = news.taken()
            left -= len(told)
            yield from told

    def end(self) -> None:
        """Tell the others that no round comes any more, and let them go before us: they would take
        our end for a fault. One that has not come yet is not waited for."""
        self._announce("")
        deadline = time.monotonic() + LEAVE_SECONDS
        while int(self._board.read("left") or 0) < self._board.nodes() - 1:
            if time.monotonic() > deadline:
                return
            self._board.pause()

    def _announce(self, text: str) -> int:
        self._board.write(f"round/{self._rounds}", text)
        self._rounds += 1
        return self._rounds - 1


class Following:
    """Another node."""

    def __init__(self, board: Board, on_this_machine: int = 1) -> None:
        self._board = board
        self._here = 0
        self._looked = 0.0
        self.on_this_machine = on_this_machine

    def rounds(self) -> Iterator[Round]:
        """Each round, as soon as the leader announces it, until it is done."""
        for self._here in itertools.count():
            while (text := self._board.read(f"round/{self._here}")) is None:
                self._board.pause()
            if not text:
                break
            yield parse(Round, json.loads(text))
        self._board.count("left")

    def take_part(
        self, crew: Crew[M], act: Callable[[M, T, OnRead], R], tasks: Mapping[int, T]
    ) -> None:
        """Do tasks of the round until none is left to be begun."""
        drawn = _drawn(self._board, self._here, tasks)
        for number, found in crew.each(act, drawn, lambda count: self.look()):
            place = self._board.count(f"{self._here}/told")
            self._board.write(f"{self._here}/told/{place}", json.dumps([number, found]))

    def look(self) -> None:
        """Is the leader still there? Asked seldom, for text is read in small pieces."""
        if time.monotonic() > self._looked + PULSE_SECONDS:
            self._looked = time.monotonic()
            self._board.read("left")


class _News:
    """What other nodes told of a round."""

    def __init__(self, board: Board, here: int) -> None:
        self._board = board
        self._here = here
        self._heard = 0
        self._looked = 0.0
        self._waiting: list[tuple[int, Any]] = []

    def look(self) -> list[tuple[int, Any]]:
        """What is new, if anything is; looks seldom, for text is read in small pieces."""
        found: list[tuple[int, Any]] = []
        if time.monotonic() > self._looked + PULSE_SECONDS:
            self._looked = time.monotonic()
            while text := self._board.read(f"{self._here}/told/{self._heard + 1}"):
                self._heard += 1
                number, result = json.loads(text)
                found.append((number, result))
        self._waiting += found
        return found

    def taken(self) -> list[tuple[int, Any]]:
        """Everything that was heard and not taken yet."""
        found, self._waiting = self._waiting, []
        return found


def _drawn(board: Board, here: int, tasks: Mapping[int, Any]) -> Iterator[tuple[int, Any]]:
    """Tasks that nobody else has, one by one."""
    numbers = tuple(tasks)
    while (ticket := board.count(f"{here}/drawn")) <= len(numbers):
        number = numbers[ticket - 1]
        yield number, tasks[number]
