"""Text to shards, in as many processes and on as many nodes as there are.

Called by `dataset.build` and `dataset.following`. The text is cut into parts that depend on the
text alone; each is encoded into a small dataset of its own, which appears whole or not at all, and
at the end they are put together in their order. So ids and their order are the same for any number
of processes and nodes, memory depends on the size of a part, and what was done before a process was
killed is not done again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.dataset.crew import Crew
from lmtrainer.dataset.leading import Given, Nodes
from lmtrainer.dataset.merging import merge
from lmtrainer.dataset.rounds import Round
from lmtrainer.dataset.tasks import (
    Task,
    Work,
    count_part,
    counting,
    encode_part,
    encode_task,
    text_sha256,
)
from lmtrainer.durable import MANIFEST_FILE, building, make_folder, remove
from lmtrainer.text import drawing, excerpts
from lmtrainer.text.drawing import Windows
from lmtrainer.text.excerpts import Excerpt
from lmtrainer.text.files import OnRead
from lmtrainer.text.parts import Part, worth
from lmtrainer.text.split import Corpus, exceptions

PARTS = "parts-"
"""How the folder of unfinished work begins; the fingerprint follows."""

SHOWN_SECONDS = 120.0
"""Within which a shared file system shows what another machine wrote: NFS may hide it a minute."""

LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Counts:
    """The numbers of documents that only counting can tell: a share is held out by number."""

    firsts: tuple[int, ...]
    """Of the first one of each part."""
    drawn: tuple[int, ...]
    """Of the first one of each excerpt that a tokenizer is trained on; none if on all text."""


def build_dataset(
    leader: Leader, work: Work, firsts: Sequence[int], final: Path, before_seal: Callable[[], None]
) -> None:
    """Encode a corpus into the folder `final`. `before_seal` may still refuse all of it."""
    if len(leader.cut) == 1:
        with building(final) as beside:
            leader.encode_alone(work, final, beside, before_seal)
        return
    place = _place(final, work.fingerprint)
    folders = leader.encode(work, firsts, place)
    before_seal()
    with building(final) as beside:
        merge(folders, beside)
    remove(place)


def crew_size(corpus: Corpus, cut: Sequence[Part], most: int) -> int:
    """Processes that parts give work to."""
    return min(most, len(cut), worth(corpus))


def draw(corpus: Corpus, cut: Sequence[Part], sample: int) -> Windows:
    """Where so many bytes of the text to train on are drawn; nothing for 0."""
    files = [file for part in cut if not part.held_out for file in part.files]
    return drawing.draw(files, sample, corpus.seed) if sample else {}


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


class Leader:
    """Who gives out the tasks, and does some. `reading` makes what hears of bytes read for an
    activity."""

    def __init__(
        self,
        corpus: Corpus,
        cut: list[Part],
        crew: Crew[Corpus],
        nodes: Nodes,
        reading: Callable[[str], OnRead],
    ) -> None:
        self.cut = cut
        self._corpus = corpus
        self._crew = crew
        self._nodes = nodes
        self._reading = reading

    def count(self, sample: int) -> Counts:
        """The number of the first document of each part, and of each excerpt of `sample` bytes."""
        windows = draw(self._corpus, self.cut, sample)
        found: dict[int, list[int]] = {}
        if self._corpus.share is not None and (windows or len(self.cut) > 1):
            tasks = {p.number: counting(p, windows) for p in self.cut if not p.held_out}
            announced = Round(
                kind="count", text=text_sha256(self.cut), numbers=tuple(tasks), sample=sample
            )
            given = Given(announced, count_part, tasks)
            found = dict(self._nodes.each(given, self._crew, self._reading("count documents")))
        counts = [found.get(part.number, [0]) for part in self.cut]
        firsts = tuple(itertools.accumulate((count[-1] for count in counts[:-1]), initial=0))
        pairs = zip(firsts, counts, strict=True)
        return Counts(firsts, tuple(first + n for first, count in pairs for n in count[:-1]))

    def drawn(self, sample: int, counts: Counts) -> Iterator[tuple[Excerpt, int]]:
        """Each excerpt of `sample` bytes with the number of its first document."""
        windows = draw(self._corpus, self.cut, sample)
        # Of compressed text more may be taken than its files have bytes.
        drawn = sum(map(drawing.total, windows.values()))
        found = (
            excerpt._replace(most=excerpt.most * sample // drawn)
            for part in self.cut
            for file in part.files
            if not part.held_out
            for excerpt in excerpts.cut(file, windows.get(file, ()), self._corpus.reading)
        )
        # Where no share is held out, numbers say nothing.
        return zip(found, itertools.chain(counts.drawn, itertools.repeat(0)), strict=False)

    def encode_alone(
        self, work: Work, final: Path, beside: Path, before_seal: Callable[[], None]
    ) -> None:
        """Encode a corpus of one part into an empty folder."""
        task = Task(work, self.cut[0], 0, exceptions(self._corpus), final)
        encode_part(self._corpus, task, self._reading("encode text"), beside, before_seal)

    def encode(self, work: Work, firsts: Sequence[int], place: Path) -> list[Path]:
        """The folder of each part, encoded."""
        read = self._reading("encode text")
        changed = exceptions(self._corpus)
        tasks = {
            part.number: Task(work, part, first, changed, part_folder(place, part.number))
            for part, first in zip(self.cut, firsts, strict=True)
        }
        announced = Round(
            kind="encode",
            text=text_sha256(self.cut),
            numbers=tuple(tasks),
            firsts=tuple(firsts),
            fingerprint=work.fingerprint,
            home=str(work.tokenizer.parent),
            tokenizer=work.tokenizer_sha256,
        )
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
