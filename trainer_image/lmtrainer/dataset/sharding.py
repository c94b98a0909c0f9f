"""Text to shards, in as many processes as the machine and the text allow.

Called by `dataset.build`. The text is cut into parts that depend on the text alone; each is encoded
into a small dataset of its own, which appears whole or not at all, and at the end they are put
together in their order. So ids and their order are the same for any number of processes, memory
depends on the size of a part, and what was done before a process was killed is not done again.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lmtrainer import vocab
from lmtrainer.dataset.crew import Crew
from lmtrainer.dataset.encode import encode
from lmtrainer.dataset.facts import facts_of
from lmtrainer.dataset.merging import merge
from lmtrainer.dataset.writing import Writer
from lmtrainer.durable import (
    MANIFEST_FILE,
    DamagedError,
    building,
    make_folder,
    remove,
    sha256_of,
    verify_manifest,
)
from lmtrainer.text.counting import count_documents
from lmtrainer.text.documents import Piece
from lmtrainer.text.files import OnRead
from lmtrainer.text.parts import Part, parts, worth
from lmtrainer.text.records import records
from lmtrainer.text.split import Corpus, Split, exceptions, sides_from, with_sides
from lmtrainer.vocab import Vocabulary

PARTS = "parts-"
"""How the folder of unfinished work begins; the fingerprint follows."""


@dataclass(frozen=True)
class Layout:
    """What is written beside the ids of the text."""

    opener: int | None
    """Before each document."""
    terminator: int | None
    """Behind each document."""
    sentences: bool
    """It is recorded where they begin."""
    instances: bool
    """Documents are ready-made ones."""
    uncounted: tuple[int, ...]
    """Ids that do not count as text."""


@dataclass(frozen=True)
class Work:
    """What every process must know."""

    corpus: Corpus
    tokenizer: Path
    layout: Layout
    fingerprint: str


@dataclass(frozen=True)
class Task:
    """A part to be encoded."""

    part: Part
    first: int
    """Number of its first document."""
    changed: Mapping[int, bool]
    """Documents that changed sides."""
    folder: Path
    """Where it goes."""


class Member:
    """A process at work: loads the tokenizer once, when it needs it."""

    def __init__(self, work: Work) -> None:
        self.work = work

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        return vocab.load(self.work.tokenizer)


def build_dataset(
    work: Work,
    final: Path,
    processes: int,
    reading: Callable[[str], OnRead],
    before_seal: Callable[[], None],
) -> None:
    """Encode a corpus into the folder `final`, with at most so many processes. `reading` makes what
    hears of bytes read for an activity; `before_seal` may still refuse all of it."""
    cut = parts(work.corpus)
    member = Member(work)
    if len(cut) == 1:
        task = Task(cut[0], 0, exceptions(work.corpus), final)
        _encode(member, task, reading("encode text"), before_seal)
        return
    place = _place(final, work.fingerprint)
    with Crew(member, min(processes, len(cut), worth(work.corpus))) as crew:
        tasks = list(_tasks(crew, work.corpus, cut, place, reading))
        read = reading("encode text")
        missing = []
        for task in tasks:
            if _is_done(work, task.folder):
                read(task.part.size)
            else:
                missing.append(task)
        for _ in crew.each(encode_task, missing, lambda task: task.part.size, read):
            pass
    before_seal()
    with building(final) as beside:
        merge([task.folder for task in tasks], beside)
    remove(place)


def _place(final: Path, fingerprint: str) -> Path:
    """The folder of the parts; those of other text, which nobody waits for, are removed."""
    place = final.with_name(PARTS + fingerprint[:16])
    for other in final.parent.glob(f"{PARTS}*"):
        if other != place:
            remove(other)
    make_folder(place)
    return place


def _tasks(
    crew: Crew[Member],
    corpus: Corpus,
    cut: list[Part],
    place: Path,
    reading: Callable[[str], OnRead],
) -> Iterator[Task]:
    """Each part with the number of its first document, which only counting can tell: a share is
    held out by number."""
    counts = dict.fromkeys(range(len(cut)), 0)
    if corpus.share is not None:
        read = reading("count documents")
        shared = [part for part in cut if not part.held_out]
        for part, count in crew.each(count_part, shared, lambda part: part.size, read):
            counts[part.number] = count
    changed = exceptions(corpus)
    firsts = itertools.accumulate(counts.values(), initial=0)
    for part, first in zip(cut, firsts, strict=False):
        yield Task(part, first, changed, place / f"{part.number:05d}")


def _is_done(work: Work, folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        facts = facts_of(verify_manifest(folder))
    except (DamagedError, OSError):
        return False
    tokenizer = sha256_of(work.tokenizer / MANIFEST_FILE)
    return (facts.fingerprint, facts.tokenizer) == (work.fingerprint, tokenizer)


def count_part(member: Member, part: Part, on_read: OnRead) -> int:
    """How many documents a part has."""
    reading = member.work.corpus.reading
    return sum(count_documents(file, reading, on_read) for file in part.files)


def encode_task(member: Member, task: Task, on_read: OnRead) -> int:
    """Encode a part into its folder, whole or not at all."""
    _encode(member, task, on_read)
    return 0


def _pieces(corpus: Corpus, part: Part, on_read: OnRead) -> Iterator[Piece]:
    for file in part.files:
        yield from records(file, corpus.reading, on_read)


def _encode(
    member: Member, task: Task, on_read: OnRead, before_seal: Callable[[], None] = lambda: None
) -> None:
    work, layout = member.work, member.work.layout
    with (
        building(task.folder) as beside,
        Writer(
            beside,
            member.vocabulary.size,
            opener=layout.opener,
            terminator=layout.terminator,
            sentences=layout.sentences,
            instances=layout.instances,
        ) as writer,
    ):
        found = _pieces(work.corpus, task.part, on_read)
        sides: Iterator[Split] = itertools.repeat("validation")
        if not task.part.held_out:
            sides = sides_from(work.corpus, task.first, task.changed)
        sided = with_sides(found, sides)
        encode(sided, member.vocabulary, writer, sentences=layout.sentences)
        before_seal()
        writer.seal(
            fingerprint=work.fingerprint,
            tokenizer=sha256_of(work.tokenizer / MANIFEST_FILE),
            uncounted=layout.uncounted,
            source=(task.part.source, len(work.corpus.sources)),
        )
