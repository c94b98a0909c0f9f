"""Tables of text, a row at a time: CSV, lines of JSON, a list in JSON, and through `text.binary`
those that are not written in characters.

Called by `text.records`. A row is a mapping of column names to values.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from typing import Any

from lmtrainer.faults import UserError
from lmtrainer.text import binary
from lmtrainer.text.binary import Row
from lmtrainer.text.decoding import decoded
from lmtrainer.text.documents import cut_lines
from lmtrainer.text.files import Form, OnRead, TextFile

LONGEST_ROW = 256 << 20
"""Characters of one row; a longer one is a mistake, or was never meant to be a row."""


def rows(file: TextFile, form: Form, encoding: str, on_read: OnRead) -> Iterator[Row]:
    """The rows of a file, in order. UserError names the row that cannot be read."""
    if form in binary.FORMS:
        yield from binary.rows(file, form, on_read)
        return
    texts = decoded(file, encoding, on_read)
    if form == "CSV":
        yield from _csv(file, texts)
    elif form == "JSON":
        yield from _json(file, texts)
    else:
        yield from _json_lines(file, texts)


def _lines(file: TextFile, texts: Iterator[str]) -> Iterator[str]:
    """Whole lines, however long."""
    held = ""
    for line in cut_lines(texts):
        held += line.text
        if len(held) > LONGEST_ROW:
            raise UserError(
                f"{file}: has a line of more than {LONGEST_ROW} characters, which cannot be a row; "
                "give plain text an ending such as .txt"
            )
        if line.ended:
            yield held
            held = ""


def _csv(file: TextFile, texts: Iterator[str]) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_ROW)
    found = csv.reader((line + "\n" for line in _lines(file, texts)), strict=True)
    try:
        names = next((row for row in found if row), None)
        if names is None:
            return
        for row in found:
            if not row or row == [""]:
                continue
            if len(row) != len(names):
                fault = f"has {len(row)} columns, the first line names {len(names)}"
                raise UserError(f"{file}: line {found.line_num} {fault}; put quotes around commas")
            yield dict(zip(names, row, strict=True))
    except csv.Error as fault:
        raise UserError(f"{file}: line {found.line_num} is not CSV: {fault}") from None


def _json_lines(file: TextFile, texts: Iterator[str]) -> Iterator[Row]:
    for number, line in enumerate(_lines(file, texts), 1):
        if line.strip():
            yield _object(file, f"line {number}", line)


def _object(file: TextFile, where: str, text: str) -> Row:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as fault:
        way_out = "write one JSON object on each line"
        raise UserError(f"{file}: {where} is not JSON: {fault}; {way_out}") from None
    return _checked(file, where, found)


def _checked(file: TextFile, where: str, found: Any) -> Row:
    if not isinstance(found, dict):
        raise UserError(f'{file}: {where} is no object such as {{"text": "..."}}')
    return found


def _json(file: TextFile, texts: Iterator[str]) -> Iterator[Row]:
    """A list of objects, or lines of them: the first character tells."""
    head = ""
    for text in texts:
        head += text
        if head.strip():
            break
    whole = _then(head, texts)
    if head.lstrip().startswith("["):
        yield from _list(file, whole)
    else:
        yield from _json_lines(file, whole)


def _then(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _list(file: TextFile, texts: Iterator[str]) -> Iterator[Row]:
    decoder = json.JSONDecoder()
    held = next(texts)
    at, number = held.index("[") + 1, 0
    while True:
        at = _behind_comma(held, at)
        if held.startswith("]", at):
            return
        try:
            found, end = decoder.raw_decode(held, at)
        except (ValueError, RecursionError) as fault:
            more = next(texts, "")
            if not more or len(held) - at > LONGEST_ROW:
                where = f"object {number + 1} of the list"
                raise UserError(f"{file}: {where} is not JSON: {fault}") from None
            held, at = held[at:] + more, 0
            continue
        number += 1
        at = end
        yield _checked(file, f"object {number} of the list", found)


def _behind_comma(text: str, at: int) -> int:
    """Where the next object begins, or the list ends."""
    found = _COMMA.match(text, at)
    return at if found is None else found.end()


_COMMA = re.compile(r"\s*,?\s*")
