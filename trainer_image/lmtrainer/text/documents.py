"""A text file as a stream of documents, in flat memory, changed in nothing.

Called by `text.records`. A document comes in pieces of at least PIECE characters if it is longer
than that, so that a file of any size can be one document. Pieces are cut after a line break with
text on both sides, where tokenizers cut anyway; only if there is none for long, after any, and
within a line only if it has more than LONGEST_LINE characters.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config.data import DocumentRule
from lmtrainer.text.decoding import decoded
from lmtrainer.text.files import OnRead, TextFile
from lmtrainer.text.instances import Instance

PIECE = 1 << 20
"""Characters after which a long document is cut at the next good place."""

LONGEST_LINE = 4 << 20
"""Characters of a line that are held at once."""


class Piece(NamedTuple):
    """A document, or a part of a long one."""

    text: str
    last: bool
    """The document ends here."""
    ids: NDArray[np.uint32] | None = None
    """Its tokens, where it came as such; `text` is empty then."""
    instance: Instance | None = None
    """What is to be predicted of them, where that is settled, too."""


class Line(NamedTuple):
    """A line, or a part of a very long one."""

    text: str
    ended: bool = True


def documents(
    path: TextFile,
    rule: DocumentRule,
    encoding: str = "utf-8",
    *,
    keep_line_breaks: bool = False,
    on_read: OnRead = lambda count: None,
) -> Iterator[Piece]:
    """The documents of a file, in order; those of white space only are left out.

    `line`: each line, without its line break unless it is kept. `blankLine`: lines up to one of
    white space only, without the last line break. `file`: all of it, as it is. `on_read` hears how
    many bytes were read each time. Raises UserError at the first byte that is not text.
    """
    texts = decoded(path, encoding, on_read)
    if rule == "blankLine":
        return paragraphs(texts)
    if rule == "line":
        return _each(cut_lines(texts), "\n" if keep_line_breaks else "")
    return joined(cut_lines(texts), blank_line_ends=False)


def _each(lines: Iterator[Line], end: str) -> Iterator[Piece]:
    begun = False
    for line in lines:
        if not begun and line.ended and not line.text.strip():
            continue
        text = line.text.removesuffix("\r") + end if line.ended else line.text
        yield Piece(text, last=line.ended)
        begun = not line.ended


def paragraphs(texts: Iterator[str]) -> Iterator[Piece]:
    """What `joined` gives of the lines of a text whose documents end with a blank line, without
    looking at lines as long as documents are short."""
    rest = "\n"  # stands before every document, so that a blank line may be the first
    for text in itertools.chain(texts, ["\n"]):
        *whole, rest = _BLANK_LINES.split(rest + text)
        if len(rest) > PIECE or any(len(document) > PIECE for document in whole):
            begun = "\n\n".join([*whole, rest])
            yield from joined(cut_lines(itertools.chain([begun], texts)), blank_line_ends=True)
            return
        if whole:
            yield from _short(whole)
            rest = "\n" + rest
    yield from _short([rest])


_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")


def _short(documents: Iterable[str]) -> Iterator[Piece]:
    for document in documents:
        text = document.removeprefix("\n").removesuffix("\n")
        if text.strip():
            yield Piece(text.removesuffix("\r"), last=True)


class _Held:
    """Lines of a document that were not handed out yet."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.size = 0
        self.begun = False
        """Was a piece of it handed out before?"""

    def add(self, line: Line) -> None:
        self.texts.append(line.text + "\n" if line.ended else line.text)
        self.size += len(self.texts[-1])

    def piece(self) -> Piece:
        """What is held; more is to come."""
        found = Piece("".join(self.texts), last=False)
        self.texts, self.size, self.begun = [], 0, True
        return found

    def end(self, *, windows: bool) -> Iterator[Piece]:
        """What is held is the end of the document, if it is one at all."""
        text = "".join(self.texts).removesuffix("\n")
        if self.begun or text.strip():
            yield Piece(text.removesuffix("\r") if windows else text, last=True)
        self.texts, self.size, self.begun = [], 0, False


def joined(lines: Iterator[Line], *, blank_line_ends: bool) -> Iterator[Piece]:
    """The documents of a text of any size, long ones in pieces."""
    held = _Held()
    inside = False
    for line in lines:
        if blank_line_ends and line.ended and not inside and not line.text.strip():
            yield from held.end(windows=True)
            continue
        late = held.size >= 2 * PIECE
        if held.size >= PIECE and _can_cut(held.texts[-1], line.text, late=late):
            yield held.piece()
        held.add(line)
        inside = not line.ended
        if inside:
            yield held.piece()
    yield from held.end(windows=blank_line_ends)


def _can_cut(before: str, after: str, *, late: bool) -> bool:
    """Is the line break between two lines all the white space there is, or, late, is there text
    after it?"""
    sides = before[-2:-1], after[:1]
    return all(side and not side.isspace() for side in sides) or (late and bool(after.strip()))


def cut_lines(texts: Iterator[str]) -> Iterator[Line]:
    r"""Lines without their "\n"; what else looks like a line break belongs to the text."""
    rest: list[str] = []
    for text in texts:
        first, *others = text.split("\n")
        rest.append(first)
        if others:
            yield Line("".join(rest))
            yield from map(Line, others[:-1])
            rest = others[-1:]
        elif sum(map(len, rest)) > LONGEST_LINE:
            held = "".join(rest)
            cut = held.rfind(" ", len(held) // 2)
            cut = len(held) if cut < 0 else cut
            yield Line(held[:cut], ended=False)
            rest = [held[cut:]]
    yield Line("".join(rest))
