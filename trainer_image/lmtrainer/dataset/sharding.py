"""Text to shards, in as many processes and on as many nodes as there are.

Called by `dataset.build`. The text is cut into parts that depend on the text alone; each is encoded
into a small dataset of its own, which appears whole or not at all, and at the end they are put
together in their order. So ids and their order are the same for any number of processes and nodes,
memory depends on the size of a part, and what was done before a process was killed is not done
again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from lmtrainer.dataset.crew import Crew
from lmtrainer.dataset.leading import Given, Nodes
from lmtrainer.dataset.merging import merge
from lmtrainer.dataset.rounds import Round
from lmtrainer.dataset.tasks import (
    Member,
    Task,
    Work,
    count_part,
    encode_part,
    encode_task,
    text_sha256,
)
from lmtrainer.durable import MANIFEST_FILE, building, make_folder, remove
from lmtrainer.text.files import OnRead
from lmtrainer.text.parts import Part, parts, worth
from lmtrainer.text.split import Corpus, exceptions

PARTS = "parts-"
"""How the folder of unfinished work begins; the fingerprint follows."""

SHOWN_SECONDS = 120.0
"""Within which a shared file system shows what another machine wrote: NFS may hide it a minute."""

LOOK_SECONDS = 0.5


def build_dataset(
    work: Work,
    final: Path,
    processes: int,
    nodes: Nodes,
    reading: Callable[[str], OnRead],
    before_seal: Callable[[], None],
) -> None:
    """Encode a corpus into the folder `final`, with at most so many processes on this node.
    `reading` makes what hears of bytes read for an activity; `before_seal` may still refuse all of
    it."""
    cut = parts(work.corpus)
    member = Member(work)
    if len(cut) == 1:
        task = Task(cut[0], 0, exceptions(work.corpus), final)
        with building(final) as beside:
            encode_part(member, task, reading("encode text"), beside, before_seal)
        return
    place = _place(final, work.fingerprint)
    with Crew(member, crew_size(work.corpus, cut, processes)) as crew:
        leader = _Leader(work, cut, crew, nodes, reading)
        folders = leader.encode(place, leader.count())
    before_seal()
    with building(final) as beside:
        merge(folders, beside)
    remove(place)


def crew_size(corpus: Corpus, cut: list[Part], most: int) -> int:
    """Processes that parts give work to."""
    return min(most, len(cut), worth(corpus))


def part_folder(place: Path, number: int) -> Path:
    return place / f"{number:05d}"


def place_of(final: Path, fingerprint: str) -> Path:
    """The folder of the parts of a dataset."""
    return final.with_name(PARTS + fingerprint[:16])


def _place(final: Path, fingerprint: str) -> Path:
    """The same, made; those of other text, which nobody waits for, are removed."""
    place = place_of(final, fingerprint)
    for other in final.parent.glob(f"{PARTS}*"):
        if other != place:
            remove(other)
    make_folder(place)
    return place


class _Leader:
    """Who gives out the tasks, and does some."""

    def __init__(
        self,
        work: Work,
        cut: list[Part],
        crew: Crew[Member],
        nodes: Nodes,
        reading: Callable[[str], OnRead],
    ) -> None:
        self._work = work
        self._cut = cut
        self._crew = crew
        self._nodes = nodes
        self._reading = reading
        self._round = Round(
            kind="count",
            text=text_sha256(cut),
            fingerprint=work.fingerprint,
            home=str(work.tokenizer.parent),
            tokenizer=work.tokenizer_sha256,
            numbers=(),
        )

    def count(self) -> list[int]:
        """The number of the first document of each part, which only counting can tell: a share is
        held out by number."""
        counts = [0] * len(self._cut)
        if self._work.corpus.share is not None:
            tasks = {part.number: part for part in self._cut if not part.held_out}
            announced = replace(self._round, numbers=tuple(tasks))
            read = self._reading("count documents")
            given = Given(announced, count_part, tasks)
            for number, count in self._nodes.each(given, self._crew, read):
                counts[number] = count
        return list(itertools.accumulate(counts[:-1], initial=0))

    def encode(self, place: Path, firsts: list[int]) -> list[Path]:
        """The folder of each part."""
        read = self._reading("encode text")
        changed = exceptions(self._work.corpus)
        tasks = {
            part.number: Task(part, first, changed, part_folder(place, part.number))
            for part, first in zip(self._cut, firsts, strict=True)
        }
        announced = replace(self._round, kind="encode", numbers=tuple(tasks), firsts=tuple(firsts))
        given = Given(announced, encode_task, tasks)
        for _ in self._nodes.each(given, self._crew, read):
            pass
        read(0)
        folders = [task.folder for task in tasks.values()]
        _wait_for(folders, read)
        return folders


def _wait_for(folders: Iterable[Path], read: OnRead) -> None:
    """Until all that other machines wrote is seen here."""
    deadline = time.monotonic() + SHOWN_SECONDS
    for folder in folders:
        while not _is_shown(folder / MANIFEST_FILE) and time.monotonic() < deadline:
            read(0)
            time.sleep(LOOK_SECONDS)


def _is_shown(path: Path) -> bool:
    return path.is_file()
