"""Some of a text, drawn evenly at random over all of it: what a tokenizer is trained on that is not
to be trained on everything.

Called by the preparation of data. The text is cut into strata of equal size, and somewhere in each
lies one window, all of one size (stratified sampling; Cochran, "Sampling Techniques", chapter 5):
so each file and location has its share, and where the windows lie depends on seed and sizes alone.
What is read of a window are the documents that begin in it. What can only be read from its
beginning, as a packed file, most tables, and a group of rows in Parquet can, gives the share of its
windows from there, and so does a file whose documents are longer than LOOK.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from lmtrainer.randomness import Purpose, derive, uniform
from lmtrainer.text.binary import row_groups
from lmtrainer.text.counting import count_documents
from lmtrainer.text.files import OnRead, Stretch, TextFile, form_of, raw, size_of
from lmtrainer.text.parts import BLOCK, after, border_of
from lmtrainer.text.records import Reading, records
from lmtrainer.text.split import Corpus, exceptions, sides_from, with_sides

PLACES = 4096
"""Most windows: each is found, opened and read by itself."""

SMALLEST = 64 << 10
"""Bytes of a window, as long as there are not too many: some documents."""

LOOK = 1 << 20
"""Bytes in which the beginning of a document is looked for, and the end of the last one."""


class Window(NamedTuple):
    """Some bytes of a file, cut where no document need begin or end."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


Windows = Mapping[TextFile, Sequence[Window]]
"""By the files or stretches in which they lie, in their order."""


class Excerpt(NamedTuple):
    """What is read: documents begin where it does."""

    file: TextFile
    most: int
    """Bytes of text after which no more is taken."""


def draw(files: Sequence[TextFile], most: int, seed: int) -> Windows:
    """Windows of `most` bytes in all over files, which have more."""
    sizes = [size_of(file) for file in files]
    ends = list(itertools.accumulate(sizes))
    found: dict[TextFile, list[Window]] = {}
    for begin, end in _places(ends[-1], most, seed):
        number = bisect.bisect_right(ends, begin)
        while begin < end:
            first, last = ends[number] - sizes[number], min(end, ends[number])
            if begin < last:
                found.setdefault(files[number], []).append(Window(begin - first, last - first))
            begin, number = last, number + 1
    return found


def _places(total: int, most: int, seed: int) -> Iterator[tuple[int, int]]:
    count = min(max(most // SMALLEST, 1), PLACES)
    size = most // count
    chances = uniform(derive(seed, Purpose.SENTENCES), range(count)).tolist()
    for number, chance in enumerate(chances):
        low, high = total * number // count, total * (number + 1) // count
        begin = low + int(chance * (high - low - size + 1))
        yield begin, begin + size


def excerpts(file: TextFile, windows: Sequence[Window], reading: Reading) -> list[Excerpt]:
    """What is read for the windows of a file: what is taken from its beginning, if anything, and
    stretches that have no document in common."""
    if windows and form_of(file) == "Parquet":
        return _of_groups(file, windows)
    border = border_of(file, reading)
    if border is None or not windows:
        return _from_beginning(file, windows)
    whole = file.file if isinstance(file, Stretch) else file
    first, last = _begin(file), _end(file)
    found: list[Excerpt] = []
    behind = first
    """The end of the last excerpt."""
    lost: list[Window] = []
    with raw(whole, ahead=BLOCK) as source:
        for window in windows:
            at, until = first + window.begin, first + window.end
            begin = after(source, border, at, min(at + LOOK, last)) if window.begin else first
            if begin is None:
                lost.append(window)
                continue
            begin = max(begin, behind)
            look = max(until, begin)
            # A longer document is read no further than is taken of it.
            behind = after(source, border, look, min(look + LOOK, last)) or last
            if begin < behind:
                found.append(Excerpt(Stretch(whole, begin, behind), window.size))
    return _from_beginning(file, lost) + found


def _of_groups(file: TextFile, windows: Sequence[Window]) -> list[Excerpt]:
    """Of each group of rows in which windows begin, as much as they have."""
    assert not isinstance(file, Stretch), "no part is less than a whole table"
    begins = row_groups(file)
    most = Counter[int]()
    for window in windows:
        most[bisect.bisect_right(begins, window.begin) - 1] += window.size
    ends = [*begins[1:], size_of(file)]
    return [Excerpt(Stretch(file, begins[n], ends[n]), size) for n, size in sorted(most.items())]


def _from_beginning(file: TextFile, windows: Sequence[Window]) -> list[Excerpt]:
    most = sum(window.size for window in windows)
    return [Excerpt(file, most)] if most else []


def count(
    file: TextFile, found: Iterable[Excerpt], reading: Reading, on_read: OnRead
) -> Iterator[int]:
    """How many documents of a file come before each of its excerpts; at last, how many it has."""
    documents, at = 0, _begin(file)
    for begin in (*(_begin(excerpt.file) for excerpt in found), _end(file)):
        if begin > at:
            documents += count_documents(_between(file, at, begin), reading, on_read)
            at = begin
        yield documents


def _between(file: TextFile, begin: int, end: int) -> TextFile:
    if (begin, end) == (_begin(file), _end(file)):
        return file
    return Stretch(file.file if isinstance(file, Stretch) else file, begin, end)


def _begin(file: TextFile) -> int:
    return file.begin if isinstance(file, Stretch) else 0


def _end(file: TextFile) -> int:
    return file.end if isinstance(file, Stretch) else size_of(file)


def training_texts(
    corpus: Corpus, found: Iterable[tuple[Excerpt, int]], on_read: OnRead
) -> Iterator[str]:
    """The training documents of excerpts, each of which comes with the number of its first
    document, the last one not always to its end."""
    changed = exceptions(corpus)
    for excerpt, first in found:
        left = excerpt.most
        pieces = records(excerpt.file, corpus.reading, on_read)
        for side, piece in with_sides(pieces, sides_from(corpus, first, changed)):
            if side != "train":
                continue
            yield piece.text
            left -= len(piece.text.encode("utf-8", "surrogatepass"))
            if left <= 0:
                break
