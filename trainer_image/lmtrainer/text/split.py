"""Which documents are trained on and which are held out; the order of all documents.

Called by the preparation of data. A share is dealt by a hash of seed and document number, so that
neither the number of processes nor the order of work changes it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config.data import DataConfig
from lmtrainer.faults import UserError
from lmtrainer.randomness import Purpose, derive, uniform
from lmtrainer.text.documents import Piece
from lmtrainer.text.files import TextFile, size_of
from lmtrainer.text.records import Reading, reading_of, records
from lmtrainer.text.sources import files_of

Split = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")

_BLOCK = 4096
"""Documents whose fate is decided at once."""


@dataclass(frozen=True)
class Corpus:
    """All text of a run. With `share`, `held_out` is empty; with `held_out`, `share` is None."""

    files: tuple[TextFile, ...]
    held_out: tuple[TextFile, ...]
    reading: Reading
    share: float | None
    seed: int
    weighted: tuple[int, ...] | None = None
    """Files of each location, where they have weights."""

    @property
    def sources(self) -> tuple[int, ...]:
        """Files of each location that is told apart."""
        return self.weighted or (len(self.files),)

    @property
    def all_files(self) -> tuple[TextFile, ...]:
        return self.files + self.held_out

    @property
    def bytes(self) -> int:
        return sum(map(size_of, self.all_files))


def find(data: DataConfig, seed: int, claims: Mapping[str, str]) -> Corpus:
    """The text that a configuration names. A file of `validation.files` is held out even if
    `train` names it too. UserError with every location that names nothing, or if nothing is left to
    train on."""
    faults: list[str] = []
    fields = [(f"data.train[{index}]", text) for index, text in enumerate(data.train)]
    others = [(f"data.validation.files[{i}]", text) for i, text in enumerate(data.validation.files)]
    found = {field: _expanded(text, claims, field, faults) for field, text in fields + others}
    if faults:
        raise UserError("\n".join(faults))
    held_out = dict.fromkeys(file for field, _ in others for file in found[field])
    named: dict[TextFile, int] = {}
    for index, (field, _) in enumerate(fields):
        for file in found[field]:
            named.setdefault(file, index)
    left = {file: index for file, index in named.items() if file not in held_out}
    if not left:
        raise UserError(
            "data.train: every file is held out by data.validation.files; "
            "name other files in one of them"
        )
    share = data.validation.share
    weighted = None
    if data.weights is not None:
        counts = Counter(left.values())
        weighted = tuple(counts[index] for index in range(len(data.train)))
    return Corpus(tuple(left), tuple(held_out), reading_of(data), share, seed, weighted)


def _expanded(
    location: str, claims: Mapping[str, str], field: str, faults: list[str]
) -> Sequence[TextFile]:
    """The files of one location; what is wrong with it is noted, so that all of it is told."""
    try:
        return files_of(location, claims, field)
    except UserError as fault:
        faults.append(str(fault))
        return ()


def pieces(
    corpus: Corpus, *, on_read: Callable[[int], None] = lambda count: None
) -> Iterator[tuple[Split, Piece]]:
    """Every document of a corpus with its side, in the one order that numbers them.

    Raises UserError if a share is to be held out of fewer than two documents.
    """
    sides = sides_from(corpus, 0, exceptions(corpus))
    yield from with_sides(_stream(corpus, corpus.files, on_read), sides)
    for piece in _stream(corpus, corpus.held_out, on_read):
        yield "validation", piece


def with_sides(pieces: Iterator[Piece], sides: Iterator[Split]) -> Iterator[tuple[Split, Piece]]:
    """Pieces with the side of their document."""
    side: Split = next(sides)
    for piece in pieces:
        yield side, piece
        if piece.last:
            side = next(sides)


def _stream(
    corpus: Corpus, files: tuple[TextFile, ...], on_read: Callable[[int], None]
) -> Iterator[Piece]:
    for file in files:
        yield from records(file, corpus.reading, on_read)


def sides_from(corpus: Corpus, first: int, exceptions: Mapping[int, bool]) -> Iterator[Split]:
    """The side of each document of `files` from number `first` on, without end."""
    share = corpus.share
    if share is None:
        yield from itertools.repeat("train")
        return
    for number, held_out in enumerate(_held_out(corpus.seed, share, first), first):
        yield "validation" if exceptions.get(number, held_out) else "train"


def _chances(seed: int, documents: NDArray[np.int64]) -> NDArray[np.float64]:
    return uniform(derive(seed, Purpose.HELD_OUT), documents)


def _held_out(seed: int, share: float, first: int = 0) -> Iterator[bool]:
    for start in itertools.count(first, _BLOCK):
        yield from (_chances(seed, np.arange(start, start + _BLOCK)) < share).tolist()


def exceptions(corpus: Corpus) -> dict[int, bool]:
    """Documents whose side is not that of their number, True for held out.

    A small corpus may fall on one side only; its most nearly other document then changes sides.
    Reads only as many documents as it takes to find one on each side: about 1 / share.
    """
    share = corpus.share
    if share is None:
        return {}
    ends = (piece for piece in _stream(corpus, corpus.files, lambda count: None) if piece.last)
    count = 0
    seen: set[bool] = set()
    for _, held_out in zip(ends, _held_out(corpus.seed, share), strict=False):
        count += 1
        seen.add(held_out)
        if len(seen) == 2:
            return {}
    if count < 2:
        found = "no text" if count == 0 else "only 1 document"
        raise UserError(
            f"data.train: {found}, so no share of it can be held out; add documents, "
            "set data.documents, or give data.validation.files"
        )
    chances = _chances(corpus.seed, np.arange(count))
    lonely = True not in seen
    return {int(chances.argmin() if lonely else chances.argmax()): lonely}
