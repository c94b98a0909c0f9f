"""What a node does that does not lead: tasks of every round, until there is none any more.

Called by the stage `prepare`. It finds text and tokenizer by itself, sees to it that they are the
leader's, and writes nothing but parts, which are the same whoever makes them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from lmtrainer.config import RunConfig
from lmtrainer.dataset.build import find_inputs, processes_for, work_of
from lmtrainer.dataset.crew import Crew
from lmtrainer.dataset.home import DATASET, TOKENIZER
from lmtrainer.dataset.rounds import Following, Round
from lmtrainer.dataset.sharding import (
    LOOK_SECONDS,
    SHOWN_SECONDS,
    crew_size,
    part_folder,
    place_of,
)
from lmtrainer.dataset.tasks import Member, Task, Work, count_part, encode_task, text_sha256
from lmtrainer.durable import MANIFEST_FILE, sha256_of
from lmtrainer.text.parts import Part, parts
from lmtrainer.text.split import exceptions


class OtherTextError(Exception):
    """This node does not see what the leader sees."""


def follow(run: RunConfig, claims: Mapping[str, str], nodes: Following) -> None:
    """Take part until the leader says that all is done. OtherTextError where text or tokenizer are
    not what the leader sees."""
    with contextlib.ExitStack() as stack:
        hand: _Hand | None = None
        for announced in nodes.rounds():
            if hand is None:
                hand = stack.enter_context(_Hand(run, claims, announced, nodes))
            hand.take_part(announced)


class _Hand(contextlib.AbstractContextManager["_Hand"]):
    """This node at work: text, tokenizer and crew are the same in every round."""

    def __init__(
        self, run: RunConfig, claims: Mapping[str, str], announced: Round, nodes: Following
    ) -> None:
        home = Path(announced.home)
        _check_tokenizer(home / TOKENIZER, announced.tokenizer, nodes)
        inputs = find_inputs(run, claims, lambda activity, done, total: None)
        self._work = work_of(inputs, home, announced.fingerprint)
        self._cut = _cut(self._work, announced)
        self._changed = exceptions(self._work.corpus)
        self._place = place_of(home / DATASET, announced.fingerprint)
        self._nodes = nodes
        most = processes_for(inputs, nodes.on_this_machine)
        size = crew_size(self._work.corpus, self._cut, most)
        self._crew = Crew(Member(self._work), size)

    def __exit__(self, fault: object, *more: object) -> None:
        self._crew.__exit__(fault, *more)

    def take_part(self, announced: Round) -> None:
        if announced.kind == "count":
            tasks = {number: self._cut[number] for number in announced.numbers}
            self._nodes.take_part(self._crew, count_part, tasks)
            return
        firsts = zip(announced.numbers, announced.firsts, strict=True)
        todo = {number: self._task(number, first) for number, first in firsts}
        self._nodes.take_part(self._crew, encode_task, todo)

    def _task(self, number: int, first: int) -> Task:
        return Task(self._cut[number], first, self._changed, part_folder(self._place, number))


def _cut(work: Work, announced: Round) -> list[Part]:
    cut = parts(work.corpus)
    if text_sha256(cut) != announced.text:
        raise OtherTextError(
            "data.train: this node sees other text than the leader; every node must mount the "
            "same volumes, and nobody may change the text meanwhile"
        )
    return cut


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
