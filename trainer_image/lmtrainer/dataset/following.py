"""What a node does that does not lead: tasks of every round, until there is none any more.

Called by the stage `prepare`. It finds text and tokenizer by itself, sees to it that they are the
leader's, and writes nothing but parts, which are the same whoever makes them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from lmtrainer.config import RunConfig, parse
from lmtrainer.dataset.build import work_of
from lmtrainer.dataset.crew import Crew, Sized
from lmtrainer.dataset.home import DATASET, TOKENIZER
from lmtrainer.dataset.inputs import Inputs, find_inputs, processes_for
from lmtrainer.dataset.reading import files_of
from lmtrainer.dataset.rounds import LEFT, Board, Round, Seldom, Talk, name_of
from lmtrainer.dataset.sharding import (
    LOOK_SECONDS,
    SHOWN_SECONDS,
    crew_size,
    draw,
    part_folder,
    place_of,
)
from lmtrainer.dataset.tasks import (
    Files,
    Task,
    count_part,
    counting,
    describe_files,
    encode_task,
    text_sha256,
)
from lmtrainer.durable import MANIFEST_FILE, sha256_of
from lmtrainer.text.files import OnRead
from lmtrainer.text.parts import Part, parts
from lmtrainer.text.split import exceptions

M = TypeVar("M")
T = TypeVar("T", bound=Sized)


class OtherTextError(Exception):
    """This node does not see what the leader sees."""


class Following:
    """One of the nodes that do not lead."""

    def __init__(self, board: Board, on_this_machine: int = 1) -> None:
        self._board = board
        self._talk = Talk(board, 0)
        self._seldom = Seldom()
        self.on_this_machine = on_this_machine

    def rounds(self) -> Iterator[Round]:
        """Each round, as soon as the leader announces it, until it is done."""
        for number in itertools.count():
            while (text := self._board.read(name_of(number))) is None:
                self._board.pause()
            if not text:
                break
            self._talk = Talk(self._board, number)
            yield parse(Round, json.loads(text))
        self._board.count(LEFT)

    def take_part(
        self, crew: Crew[M], act: Callable[[M, T, OnRead], object], tasks: Mapping[int, T]
    ) -> None:
        """Do tasks of the round until none is left to be begun."""
        drawn = self._talk.drawn(tasks)
        for number, found in crew.each(act, drawn, lambda count: self.look()):
            self._talk.tell(number, found)

    def look(self) -> None:
        """Is the leader still there?"""
        if self._seldom.due():
            self._board.read(LEFT)


def follow(run: RunConfig, claims: Mapping[str, str], nodes: Following) -> None:
    """Take part until the leader says that all is done. OtherTextError where text or tokenizer are
    not what the leader sees."""
    inputs: Inputs | None = None
    hand: _Hand | None = None
    with contextlib.ExitStack() as stack:
        for announced in nodes.rounds():
            inputs = inputs or find_inputs(run, claims, lambda activity, done, total: None)
            if announced.kind == "read":
                _read(inputs, announced, nodes)
            else:
                hand = hand or stack.enter_context(_Hand(inputs, announced, nodes))
                hand.take_part(announced)


def _read(inputs: Inputs, announced: Round, nodes: Following) -> None:
    pieces = files_of(inputs.corpus)
    _check_text(pieces, announced)
    size = min(processes_for(inputs, nodes.on_this_machine), len(pieces))
    with Crew(None, size) as crew:
        nodes.take_part(crew, describe_files, {n: pieces[n] for n in announced.numbers})


class _Hand(contextlib.AbstractContextManager["_Hand"]):
    """This node at work on parts: text and crew are the same in every round."""

    def __init__(self, inputs: Inputs, announced: Round, nodes: Following) -> None:
        self._inputs = inputs
        self._cut = parts(inputs.corpus)
        _check_text(self._cut, announced)
        self._nodes = nodes
        most = processes_for(inputs, nodes.on_this_machine)
        self._crew = Crew(inputs.corpus, crew_size(inputs.corpus, self._cut, most))

    def __exit__(self, fault: object, *more: object) -> None:
        self._crew.__exit__(fault, *more)

    def take_part(self, announced: Round) -> None:
        if announced.kind == "count":
            windows = draw(self._inputs.corpus, self._cut, announced.sample)
            tasks = {n: counting(self._cut[n], windows) for n in announced.numbers}
            self._nodes.take_part(self._crew, count_part, tasks)
            return
        todo = {task.part.number: task for task in self._tasks(announced)}
        self._nodes.take_part(self._crew, encode_task, todo)

    def _tasks(self, announced: Round) -> Iterator[Task]:
        home = Path(announced.home)
        _check_tokenizer(home / TOKENIZER, announced.tokenizer, self._nodes)
        work = work_of(self._inputs, home, announced.fingerprint)
        changed = exceptions(self._inputs.corpus)
        place = place_of(home / DATASET, announced.fingerprint)
        for number, first in zip(announced.numbers, announced.firsts, strict=True):
            yield Task(work, self._cut[number], first, changed, part_folder(place, number))


def _check_text(pieces: Sequence[Files | Part], announced: Round) -> None:
    if text_sha256(pieces) != announced.text:
        raise OtherTextError(
            "data.train: this node sees other text than the leader; every node must mount the "
            "same volumes, and nobody may change the text meanwhile"
        )


def _check_tokenizer(folder: Path, sha256: str, nodes: Following) -> None:
    """A shared file system may show what the leader wrote a while later."""
    deadline = time.monotonic() + SHOWN_SECONDS
    while _sha256(folder) != sha256:
        if time.monotonic() > deadline:
            raise OtherTextError(
                f"{folder}: is not the tokenizer that the leader made; every node must mount the "
                "same volumes"
            )
        nodes.look()
        time.sleep(LOOK_SECONDS)


def _sha256(folder: Path) -> str | None:
    try:
        return sha256_of(folder / MANIFEST_FILE)
    except OSError:
        return None
