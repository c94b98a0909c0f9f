"""Tasks shared out among the nodes of a stage: numbered, drawn by whoever is free, told when done.

What the leader (`dataset.leading`) and the others (`dataset.following`) have in common. A round is
a set of tasks. The leader announces it on a board that all nodes see; each node draws the number of
a task that nobody has, does it with its own crew of processes, and tells. Who does what changes no
byte. A node that ends before the round does ends the whole attempt: that is not our affair.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from lmtrainer.dataset.crew import PULSE_SECONDS

T = TypeVar("T")


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
    sample: int = 0
    """To count: bytes of text that a tokenizer is to be trained on, if not on all; where they are
    drawn, documents are numbered, too."""
    firsts: tuple[int, ...] = ()
    """To encode: the number of each one's first document."""
    fingerprint: str = ""
    """Of everything that the dataset is made from; not known before the text was read."""
    home: str = ""
    """Folder of the tokenizer and the dataset."""
    tokenizer: str = ""
    """To encode: sha256 of the tokenizer's manifest."""


class Talk:
    """What is said on the board about one round."""

    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._number = number
        self._heard = 0

    def drawn(self, tasks: Mapping[int, T]) -> Iterator[tuple[int, T]]:
        """Tasks that nobody else has, one by one."""
        numbers = tuple(tasks)
        while (ticket := self._board.count(f"{self._number}/drawn")) <= len(numbers):
            number = numbers[ticket - 1]
            yield number, tasks[number]

    def tell(self, number: int, found: object) -> None:
        """A task is done, and this came of it."""
        place = self._board.count(f"{self._number}/told")
        self._board.write(f"{self._number}/told/{place}", json.dumps([number, found]))

    def news(self) -> Iterator[tuple[int, Any]]:
        """What was told since the last time."""
        while text := self._board.read(f"{self._number}/told/{self._heard + 1}"):
            self._heard += 1
            number, found = json.loads(text)
            yield number, found


class Seldom:
    """For questions to the board, which are round trips: text is read in small pieces."""

    def __init__(self) -> None:
        self._last = 0.0

    def due(self) -> bool:
        """Was it false for a while?"""
        now = time.monotonic()
        if now <= self._last + PULSE_SECONDS:
            return False
        self._last = now
        return True


def name_of(number: int) -> str:
    """Where the leader announces a round; an empty text there says that none comes any more."""
    return f"round/{number}"


LEFT = "left"
"""Counts the nodes that heard of the end."""
