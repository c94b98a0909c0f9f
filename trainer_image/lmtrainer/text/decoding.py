"""The bytes of a file as text, a block at a time; a byte that is none is told with its place.

Called by whoever reads files that are written in characters.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from lmtrainer.faults import UserError
from lmtrainer.text.files import OnRead, Stretch, TextFile, opened

BLOCK = 1 << 20
"""Bytes read at once."""

LOOKED_AT = 4096
"""Bytes at the beginning of a file that show whether it is text."""


def decoded(file: TextFile, encoding: str, on_read: OnRead) -> Iterator[str]:
    """The text of a file, a block at a time; UserError at the first byte that is none."""
    # A byte order mark says how the bytes are to be read; it is not part of the text.
    first = file.begin if isinstance(file, Stretch) else 0
    marked = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" and not first else encoding
    decoder = codecs.getincrementaldecoder(marked)()
    read = 0
    with opened(file, on_read) as source:
        while True:
            block = _block(source, file)
            if not read:
                _check_text(file, block[:LOOKED_AT], encoding)
            read += len(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as fault:
                # The decoder saw the end of what was read, with what it had kept from before.
                offset = first + read - len(fault.object) + fault.start
                byte = fault.object[fault.start]
                whole = file.file if isinstance(file, Stretch) else file
                raise UserError(_not_text(whole, encoding, byte, offset)) from None
            if text:
                yield text
            if not block:
                return


def _block(source: BinaryIO, file: TextFile) -> bytes:
    try:
        return bytes(source.read(BLOCK))
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise UserError(f"{file}: cannot be unpacked ({fault}); copy it anew") from None


def _check_text(file: TextFile, beginning: bytes, encoding: str) -> None:
    """UTF-8 knows NUL, but text does not hold it: this is another encoding, or no text at all."""
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    if b"\0" in beginning and not wide:
        raise UserError(
            f"{file}: byte 0x00 at offset {beginning.index(0)} is not text; leave the file out, or "
            "set data.encoding to the encoding of the files, such as utf-16"
        )


def _not_text(file: TextFile, encoding: str, byte: int, offset: int) -> str:
    return (
        f"{file}: byte 0x{byte:02x} at offset {offset} is not {encoding.upper()}; "
        "set data.encoding to the encoding of the files"
    )
