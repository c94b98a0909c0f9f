"""A corpus in parts that can be read at the same time: many small files, or a stretch of a large
one.

Called by the preparation of data, and by `text.excerpts`, which finds the ends of documents in the
same way. The parts depend on the text alone, never on who reads them: all documents of all parts,
one part after the other, are those of the corpus in its order.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from lmtrainer.text.files import Stretch, TextFile, form_of, is_gzip, raw, size_of
from lmtrainer.text.records import Reading
from lmtrainer.text.split import Corpus

SMALLEST, LARGEST, MOST = 8 << 20, 1 << 30, 512
"""Bytes of a part: a corpus is cut into at most MOST of them as long as they stay in between."""

BLOCK = 1 << 16
"""Bytes in which the end of a document is looked for at once."""

BORDERS = {"line": re.compile(rb"\n"), "blankLine": re.compile(rb"\n\r?\n")}
"""What always ends a document."""

_LINE_BREAK_IS_A_BYTE = re.compile(r"utf-8|ascii|iso8859-\d+|cp125\d|koi8-[rut]")
"""Encodings in which byte 10 is a line break and nothing else, and in which a text can be read from
there on."""


@dataclass(frozen=True)
class Part:
    """Files, or a stretch of one, that are read by one process."""

    number: int
    files: tuple[TextFile, ...]
    held_out: bool
    """All of it is."""
    source: int = 0
    """Which location it is from, where they are told apart."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(size_of, self.files))


def parts(corpus: Corpus, size: int | None = None) -> list[Part]:
    """Cut a corpus into parts of about `size` bytes, in its order."""
    wanted = size or _wanted(corpus)
    found = [
        (group, held_out, source)
        for files, held_out, source in _sources(corpus)
        for group in _grouped(_pieces(files, corpus.reading, wanted), wanted)
    ]
    return [Part(number, *part) for number, part in enumerate(found)]


def groups(corpus: Corpus) -> list[tuple[TextFile, ...]]:
    """All files in their order, whole, in groups of about the size of a part."""
    return list(_grouped(corpus.all_files, _wanted(corpus)))


def _wanted(corpus: Corpus) -> int:
    return min(max(corpus.bytes // MOST, SMALLEST), LARGEST)


def worth(corpus: Corpus) -> int:
    """How many processes a corpus gives work to."""
    return max(1, corpus.bytes // SMALLEST)


def _sources(corpus: Corpus) -> Iterator[tuple[tuple[TextFile, ...], bool, int]]:
    """Files that may share a part."""
    begin = 0
    for source, count in enumerate(corpus.sources):
        yield corpus.files[begin : begin + count], False, source
        begin += count
    yield corpus.held_out, True, 0


def _grouped(files: Iterable[TextFile], wanted: int) -> Iterator[tuple[TextFile, ...]]:
    """Files that follow one another, together while they are small."""
    group: list[TextFile] = []
    size = 0
    for file in files:
        if group and size + size_of(file) > wanted:
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += size_of(file)
    if group:
        yield tuple(group)


def _pieces(files: Iterable[TextFile], reading: Reading, wanted: int) -> Iterator[TextFile]:
    for file in files:
        border = border_of(file, reading)
        if border is None or size_of(file) <= wanted:
            yield file
        else:
            yield from _stretches(file, border, wanted)


def border_of(file: TextFile, reading: Reading) -> re.Pattern[bytes] | None:
    """What ends a document of a file; None if it cannot be cut."""
    form = form_of(file)
    if not _LINE_BREAK_IS_A_BYTE.fullmatch(codecs.lookup(reading.encoding).name):
        return None
    if form not in ("text", "lines of JSON") or is_gzip(file):
        return None
    return BORDERS.get("line" if form == "lines of JSON" else reading.rule)


def _stretches(file: TextFile, border: re.Pattern[bytes], wanted: int) -> Iterator[TextFile]:
    assert not isinstance(file, Stretch)
    size, begin = size_of(file), 0
    with raw(file, ahead=BLOCK) as source:
        while begin < size:
            end = after(source, border, begin + wanted, size) or size
            yield Stretch(file, begin, end)
            begin = end


def after(source: BinaryIO, border: re.Pattern[bytes], at: int, until: int) -> int | None:
    """The end of the first border that begins at byte `at` or later and ends at `until` at the
    latest; None if there is none."""
    held, offset = b"", at
    source.seek(at)
    while block := source.read(max(0, min(BLOCK, until - offset - len(held)))):
        held += block
        match = border.search(held)
        if match:
            return offset + match.end()
        # A border may lie across two blocks.
        offset += max(0, len(held) - 2)
        held = held[-2:]
    return None
