"""The tasks that make a dataset out of parts of its text, and what a process needs to do them.

Called by `dataset.sharding` and `dataset.following`. What a part becomes depends on nothing but the
text and the settings: whoever does it, it has the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmtrainer.dataset.encode import encode
from lmtrainer.dataset.facts import facts_of
from lmtrainer.dataset.home import loaded
from lmtrainer.dataset.writing import Writer
from lmtrainer.durable import (
    MANIFEST_FILE,
    DamagedError,
    building,
    discard,
    sha256_of,
    verify_manifest,
)
from lmtrainer.text import excerpts
from lmtrainer.text.documents import Piece
from lmtrainer.text.drawing import Windows
from lmtrainer.text.files import OnRead, Stretch, TextFile, described, size_of
from lmtrainer.text.parts import Part
from lmtrainer.text.records import records
from lmtrainer.text.split import Corpus, Split, sides_from, with_sides


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
    """What parts are encoded with, and how."""

    tokenizer: Path
    layout: Layout
    fingerprint: str

    @property
    def tokenizer_sha256(self) -> str:
        """Of its manifest."""
        return sha256_of(self.tokenizer / MANIFEST_FILE)


@dataclass(frozen=True)
class Counting:
    """A part whose documents are to be counted."""

    part: Part
    windows: Windows
    """What is drawn of it."""

    @property
    def size(self) -> int:
        return self.part.size


@dataclass(frozen=True)
class Task:
    """A part to be encoded."""

    work: Work
    part: Part
    first: int
    """Number of its first document."""
    changed: Mapping[int, bool]
    """Documents that changed sides."""
    folder: Path
    """Where it goes."""

    @property
    def size(self) -> int:
        return self.part.size


@dataclass(frozen=True)
class Files:
    """Whole files to be read."""

    files: tuple[TextFile, ...]

    @property
    def size(self) -> int:
        return sum(map(size_of, self.files))


def is_done(work: Work, folder: Path) -> bool:
    """Does a part lie there, every byte as it was written?"""
    if not folder.is_dir():
        return False
    try:
        facts = facts_of(verify_manifest(folder))
    except DamagedError:
        return False
    return (facts.fingerprint, facts.tokenizer) == (work.fingerprint, work.tokenizer_sha256)


def counting(part: Part, windows: Windows) -> Counting:
    """The task, with those of all windows that are in the part."""
    return Counting(part, {file: windows[file] for file in part.files if file in windows})


def count_part(corpus: Corpus, task: Counting, on_read: OnRead) -> list[int]:
    """How many documents of a part come before each of its excerpts, and at last how many it
    has."""
    numbers, total = [], 0
    for file in task.part.files:
        found = excerpts.cut(file, task.windows.get(file, ()), corpus.reading)
        *before, documents = excerpts.count(file, found, corpus.reading, on_read)
        numbers += [total + number for number in before]
        total += documents
    return [*numbers, total]


def encode_task(corpus: Corpus, task: Task, on_read: OnRead) -> int:
    """Encode a part into its folder, whole or not at all; what is there already stays. Another
    node, which was given up and works on, may do the same: the first one to be done wins."""
    if is_done(task.work, task.folder):
        on_read(task.size)
        return 0
    discard(task.folder)
    with building(task.folder, first_wins=True) as beside:
        encode_part(corpus, task, on_read, beside)
    return 0


def _pieces(corpus: Corpus, part: Part, on_read: OnRead) -> Iterator[Piece]:
    for file in part.files:
        yield from records(file, corpus.reading, on_read)


def encode_part(
    corpus: Corpus,
    task: Task,
    on_read: OnRead,
    beside: Path,
    before_seal: Callable[[], None] = lambda: None,
) -> None:
    """Encode a part into an empty folder."""
    work, layout = task.work, task.work.layout
    vocabulary = loaded(work.tokenizer, work.tokenizer_sha256)
    with Writer(
        beside,
        vocabulary.size,
        opener=layout.opener,
        terminator=layout.terminator,
        sentences=layout.sentences,
        instances=layout.instances,
    ) as writer:
        found = _pieces(corpus, task.part, on_read)
        sides: Iterator[Split] = itertools.repeat("validation")
        if not task.part.held_out:
            sides = sides_from(corpus, task.first, task.changed)
        sided = with_sides(found, sides)
        encode(sided, vocabulary, writer, sentences=layout.sentences)
        before_seal()
        writer.seal(
            fingerprint=work.fingerprint,
            tokenizer=work.tokenizer_sha256,
            uncounted=layout.uncounted,
            source=(task.part.source, len(corpus.sources)),
        )


def describe_files(member: None, task: Files, on_read: OnRead) -> list[Any]:
    """What the fingerprint of a dataset says of some files."""
    return [described(file, on_read) for file in task.files]


def text_sha256(cut: Sequence[Files | Part]) -> str:
    """Of the names and sizes of all pieces: two nodes that see the same text agree on it."""
    plain = [
        [
            (str(file), file.begin if isinstance(file, Stretch) else 0, size_of(file))
            for file in part.files
        ]
        for part in cut
    ]
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()
