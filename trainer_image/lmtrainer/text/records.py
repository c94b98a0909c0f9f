"""Any file of text as a stream of documents: its ending says what it is.

Called by `text.split`. In plain text `data.documents` says where documents end; in a table every
row is one: its column `data.textColumn`, else `text`, else the first one. With `data.tokenized` it
is the column `input_ids`, the ids themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmtrainer.config.data import DataConfig, DocumentRule
from lmtrainer.faults import UserError
from lmtrainer.text.binary import Row
from lmtrainer.text.documents import Piece, documents
from lmtrainer.text.files import Form, OnRead, TextFile, form_of
from lmtrainer.text.instances import read_instance
from lmtrainer.text.tables import rows

TEXT_COLUMN, IDS_COLUMN, REAL_COLUMN = "text", "input_ids", "attention_mask"


@dataclass(frozen=True)
class Reading:
    """How the files of a run are read."""

    rule: DocumentRule
    encoding: str = "utf-8"
    column: str | None = None
    keep_line_breaks: bool = False
    tokenized: bool = False
    instances: bool = False
    """Rows are ready-made instances."""


def reading_of(data: DataConfig) -> Reading:
    return Reading(
        data.document_rule,
        data.encoding,
        data.text_column,
        bool(data.keep_line_breaks),
        bool(data.tokenized),
        data.sequences == "instances",
    )


def records(
    file: TextFile, reading: Reading, on_read: OnRead = lambda count: None
) -> Iterator[Piece]:
    """The documents of a file, in order, those without text left out. UserError says where it
    cannot be read."""
    form = form_of(file)
    if form == "text":
        if reading.instances:
            raise UserError(
                f"{file}: is plain text, and data.sequences: instances wants rows; "
                "give lines of JSON an ending such as .jsonl"
            )
        if reading.tokenized:
            raise UserError(f"{file}: is plain text, and data.tokenized wants rows of {IDS_COLUMN}")
        yield from documents(
            file,
            reading.rule,
            reading.encoding,
            keep_line_breaks=reading.keep_line_breaks,
            on_read=on_read,
        )
        return
    column = ""
    for number, row in enumerate(rows(file, form, reading.encoding, on_read), 1):
        column = column or _column(file, reading, row)
        where = f"{file}: row {number}"
        if reading.instances:
            ids, instance = read_instance(where, row)
            yield Piece("", last=True, ids=ids, instance=instance)
            continue
        value = _value(where, row, column)
        piece = _ids(where, row, value) if reading.tokenized else _text(where, form, column, value)
        if piece is not None:
            yield piece


def _column(file: TextFile, reading: Reading, row: Row) -> str:
    """Where the text of a table is."""
    names = list(row)
    wanted = reading.column or (IDS_COLUMN if reading.tokenized else TEXT_COLUMN)
    if wanted in row:
        return wanted
    if (reading.column is None and not reading.tokenized) and names:
        return str(names[0])
    raise UserError(
        f"{file}: has no column {wanted}; known: {', '.join(map(str, names))}; "
        "name one of them in data.textColumn"
    )


def _value(where: str, row: Row, column: str) -> Any:
    if column not in row:
        raise UserError(f"{where} has no column {column}")
    return row[column]


def _text(where: str, form: Form, column: str, value: Any) -> Piece | None:
    if value is not None and not isinstance(value, str):
        raise UserError(
            f"{where}: column {column} ({form}) holds no text but {type(value).__name__}; "
            "name another one in data.textColumn"
        )
    return Piece(value, last=True) if value and value.strip() else None


def _ids(where: str, row: Row, value: Any) -> Piece | None:
    """The tokens of a row, without padding."""
    real = row.get(REAL_COLUMN)
    if isinstance(value, Sequence) and isinstance(real, Sequence) and len(real) == len(value):
        value = [id_ for id_, kept in zip(value, real, strict=True) if kept]
    try:
        ids = np.array(value)
        whole = ids.ndim == 1 and (ids.dtype.kind in "iu" or not len(ids))
        if not whole or (len(ids) and not 0 <= ids.min() <= ids.max() < 2**32):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"{where}: {IDS_COLUMN} must be a list of ids from 0 on") from None
    return Piece("", last=True, ids=ids.astype(np.uint32)) if len(ids) else None
