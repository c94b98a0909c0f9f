"""What is read of a text of which windows are drawn (`text.drawing`), document by document.

Called by the preparation of data. A window gives the documents that begin in it. What can only be
read from its beginning, as a packed file, most tables, and a group of rows in Parquet can, gives
the share of its windows from there, and so does a file of one document.
"""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from lmtrainer.text.binary import row_groups
from lmtrainer.text.counting import count_documents
from lmtrainer.text.drawing import Window, total
from lmtrainer.text.files import OnRead, Stretch, TextFile, form_of, placed, raw, size_of
from lmtrainer.text.parts import BLOCK, after, border_of
from lmtrainer.text.records import Reading, records
from lmtrainer.text.split import Corpus, exceptions, sides_from, with_sides

LOOK = 1 << 20
"""Bytes in which the beginning of a document is looked for, and the end of the last one."""


class Excerpt(NamedTuple):
    """What is read: documents begin where it does."""

    file: TextFile
    most: int
    """Bytes of text after which no more is taken."""


def cut(file: TextFile, windows: Sequence[Window], reading: Reading) -> list[Excerpt]:
    """What is read for the windows of a file, in its order; no two have a document in common."""
    if not windows:
        return []
    if form_of(file) == "Parquet":
        return _of_groups(file, windows)
    border = border_of(file, reading)
    if border is None:
        return [Excerpt(file, total(windows))]
    return _of_documents(file, windows, border)


def _of_groups(file: TextFile, windows: Sequence[Window]) -> list[Excerpt]:
    """Of each group of rows in which windows begin, as much as they have."""
    assert not isinstance(file, Stretch), "no part is less than a whole table"
    begins = row_groups(file)
    most = Counter[int]()
    for window in windows:
        most[bisect.bisect_right(begins, window.begin) - 1] += window.size
    ends = [*begins[1:], size_of(file)]
    return [Excerpt(Stretch(file, begins[n], ends[n]), size) for n, size in sorted(most.items())]


def _of_documents(
    file: TextFile, windows: Sequence[Window], border: re.Pattern[bytes]
) -> list[Excerpt]:
    """Stretches from the beginning of a document to the end of one. What no stretch gives is taken
    from the beginning of the file, as far as that is not in one."""
    whole, first, last = placed(file)
    with raw(whole, ahead=BLOCK) as source:
        cuts = list(_cuts(_Borders(source, border, last), first, windows))
    stops = [*(begin for begin, _, _ in cuts), last]
    found = [
        Excerpt(Stretch(whole, begin, end or stop), most)
        for (begin, end, most), stop in zip(cuts, stops[1:], strict=True)
    ]
    owed = total(windows) - sum(excerpt.most for excerpt in found)
    if owed and first < stops[0]:
        found.insert(0, Excerpt(_between(file, first, stops[0]), owed))
    return found


class _Borders(NamedTuple):
    """Where documents end."""

    source: BinaryIO
    border: re.Pattern[bytes]
    last: int
    """The end of all of them."""

    def after(self, at: int) -> int | None:
        """The next one, if it is within LOOK."""
        return after(self.source, self.border, at, min(at + LOOK, self.last))


class _Cut(NamedTuple):
    """A stretch to be read."""

    begin: int
    end: int | None
    """None if its last document goes on for more than LOOK: it is not looked for any further, and
    anything up to the next stretch belongs to this one."""
    most: int


def _cuts(borders: _Borders, first: int, windows: Sequence[Window]) -> Iterator[_Cut]:
    """For each window the documents that begin in it, or the first one behind it. Where none begins
    within LOOK, or only what is cut out already, the next window gives as much more."""
    owed, free = 0, first
    for window in windows:
        owed += window.size
        at = first + window.begin
        begin = borders.after(at) if window.begin else first
        if begin is None or not free <= begin < borders.last:
            continue
        look = min(max(at + owed, begin), borders.last)
        end = borders.after(look)
        yield _Cut(begin, end, owed)
        # The document at `look` is cut out, too, where its end was not found.
        owed, free = 0, end or look + 1


def count(
    file: TextFile, found: Iterable[Excerpt], reading: Reading, on_read: OnRead
) -> Iterator[int]:
    """How many documents of a file come before each of its excerpts; at last, how many it has."""
    _, at, last = placed(file)
    documents = 0
    for begin in (*(placed(excerpt.file)[1] for excerpt in found), last):
        if begin > at:
            documents += count_documents(_between(file, at, begin), reading, on_read)
            at = begin
        yield documents


def _between(file: TextFile, begin: int, end: int) -> TextFile:
    whole, *all_of_it = placed(file)
    return file if [begin, end] == all_of_it else Stretch(whole, begin, end)


def training_texts(
    corpus: Corpus, found: Iterable[tuple[Excerpt, int]], on_read: OnRead
) -> Iterator[str]:
    """The training documents of excerpts, each of which comes with the number of its first
    document; the last one of an excerpt not always to its end. What a long one has too much, the
    next excerpts have less."""
    changed = exceptions(corpus)
    left = 0
    for excerpt, first in found:
        left = min(left, 0) + excerpt.most
        if left <= 0:
            continue
        pieces = records(excerpt.file, corpus.reading, on_read)
        for side, piece in with_sides(pieces, sides_from(corpus, first, changed)):
            if side != "train":
                continue
            yield piece.text
            left -= len(piece.text.encode("utf-8", "surrogatepass"))
            if left <= 0:
                break
