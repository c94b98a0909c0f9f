"""A text file as a stream of documents, in flat memory, changed in nothing.

Called by `text.split`. A document comes in pieces of at least PIECE characters if it is longer
than that, so that a file of any size can be one document. Pieces are cut after a line break with
text on both sides, where tokenizers cut anyway; only if there is none for long, after any.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from lmtrainer.config.data import DocumentRule
from lmtrainer.faults import UserError

PIECE = 1 << 20
"""Characters after which a long document is cut at the next good place."""

BLOCK = 1 << 20
"""Bytes read at once."""


class Piece(NamedTuple):
    """A document, or a part of a long one."""

    text: str
    last: bool
    """The document ends here."""


def documents(
    path: Path,
    rule: DocumentRule,
    encoding: str = "utf-8",
    *,
    on_read: Callable[[int], None] = lambda count: None,
) -> Iterator[Piece]:
    """The documents of a file, in order; those of white space only are left out.

    `line`: each line, without its line break. `blankLine`: lines up to one of white space only,
    without the last line break. `file`: all of it, as it is. `on_read` hears how many bytes were
    read each time. Raises UserError at the first byte that is not text in `encoding`.
    """
    lines = _lines(_decoded(path, encoding, on_read))
    if rule == "line":
        for line in lines:
            if line.strip():
                yield Piece(line.removesuffix("\r"), last=True)
        return
    yield from _joined(lines, blank_line_ends=rule == "blankLine")


def _joined(lines: Iterator[str], *, blank_line_ends: bool) -> Iterator[Piece]:
    held: list[str] = []
    size = 0
    for line in lines:
        if blank_line_ends and not line.strip():
            if held:
                yield Piece("\n".join(held).removesuffix("\r"), last=True)
            held, size = [], 0
            continue
        if size >= PIECE and _can_cut(held[-1], line, late=size >= 2 * PIECE):
            yield Piece("\n".join(held) + "\n", last=False)
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    text = "\n".join(held)
    if text.strip():
        yield Piece(text.removesuffix("\r") if blank_line_ends else text, last=True)


def _can_cut(before: str, after: str, *, late: bool) -> bool:
    """Is the line break between two lines all the white space there is, or, late, is there text
    after it?"""
    sides = before[-1:], after[:1]
    return all(side and not side.isspace() for side in sides) or (late and bool(after.strip()))


def _lines(texts: Iterator[str]) -> Iterator[str]:
    r"""Lines without their "\n"; what else looks like a line break belongs to the text."""
    rest = ""
    for text in texts:
        first, *others = text.split("\n")
        rest += first
        if others:
            yield rest
            yield from others[:-1]
            rest = others[-1]
    yield rest


def _decoded(path: Path, encoding: str, on_read: Callable[[int], None]) -> Iterator[str]:
    # A byte order mark says how the bytes are to be read; it is not part of the text.
    marked = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    decoder = codecs.getincrementaldecoder(marked)()
    read = 0
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK)
            read += len(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as fault:
                # The decoder saw the end of what was read, with what it had kept from before.
                offset = read - len(fault.object) + fault.start
                byte = fault.object[fault.start]
                raise UserError(_not_text(path, encoding, byte, offset)) from None
            if text:
                yield text
            if not block:
                return
            on_read(len(block))


def _not_text(path: Path, encoding: str, byte: int, offset: int) -> str:
    return (
        f"{path}: byte 0x{byte:02x} at offset {offset} is not {encoding.upper()}; "
        "set data.encoding to the encoding of the files"
    )
