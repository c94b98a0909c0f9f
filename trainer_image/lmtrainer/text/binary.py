"""Tables that are not written in characters: Parquet, Arrow, and what the `datasets` library saved.

Called by `text.tables` and `text.excerpts`. The one user of pyarrow and datasets, which come with
the extra `datasets`; no code of a dataset is ever run.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from lmtrainer.faults import UserError
from lmtrainer.text.files import Form, OnRead, TextFile, opened, placed, raw, size_of
from lmtrainer.text.remote import AHEAD

FORMS: tuple[Form, ...] = ("Parquet", "Arrow", "saved")

ROWS = 1000
"""Rows that are read at once."""

Row = Mapping[str, Any]


def rows(file: TextFile, form: Form, on_read: OnRead) -> Iterator[Row]:
    """The rows of a file, in order; of a stretch of one in Parquet those of the groups of rows that
    begin in it. UserError if it is damaged, or the extra is not installed."""
    with _told_as_mistakes(file, form):
        if form == "saved":
            yield from _saved(file, on_read)
        elif form == "Parquet":
            yield from _parquet(file, on_read)
        else:
            yield from _arrow(file, on_read)


def row_groups(file: TextFile) -> list[int]:
    """Where the groups of rows of a file in Parquet begin, in bytes; the first one at 0. Reads its
    end alone. UserError as `rows`."""
    with _told_as_mistakes(file, "Parquet"):
        import pyarrow.parquet

        with raw(file) as source:
            return _begins(pyarrow.parquet.ParquetFile(source).metadata)


def _begins(facts: Any) -> list[int]:
    """Of each group the first byte of its first column; before that of the first one stands nothing
    but a mark. Should groups not lie in the order of their rows, those that lie before earlier ones
    are taken together with them."""
    columns = [facts.row_group(n).column(0) for n in range(facts.num_row_groups)]
    offsets = (c.dictionary_page_offset or c.data_page_offset for c in columns[1:])
    return list(itertools.accumulate(offsets, max, initial=0))[: len(columns)]


@contextlib.contextmanager
def _told_as_mistakes(file: TextFile, form: Form) -> Iterator[None]:
    try:
        yield
    except ImportError as fault:
        raise UserError(
            f"{file}: {form} needs the extra datasets of the trainer ({fault}); "
            'install it with pip install "lmtrainer[datasets]"'
        ) from None
    except (OSError, ValueError) as fault:
        if _is_of_the_disk(fault):
            raise
        raise UserError(f"{file}: cannot be read as {form}: {fault}") from None


def _is_of_the_disk(fault: Exception) -> bool:
    """Rather than of what the file holds, of which both libraries tell by the same classes."""
    broken = isinstance(fault, (TimeoutError, ConnectionError))
    return broken or (isinstance(fault, OSError) and fault.errno is not None)


def _saved(file: TextFile, on_read: OnRead) -> Iterator[Row]:
    import datasets

    table = datasets.load_from_disk(str(file)).with_format(None)
    told = _Told(size_of(file), len(table), on_read)
    for begin in range(0, len(table), ROWS):
        batch = table[begin : begin + ROWS]
        count = len(next(iter(batch.values()), ()))
        yield from _transposed(batch, count)
        told.rows(count)


def _parquet(file: TextFile, on_read: OnRead) -> Iterator[Row]:
    import pyarrow.parquet

    whole, begin, end = placed(file)
    with raw(whole, ahead=min(AHEAD, end - begin)) as source:
        table = pyarrow.parquet.ParquetFile(source)
        facts = table.metadata
        groups = [n for n, at in enumerate(_begins(facts)) if begin <= at < end]
        told = _Told(size_of(file), sum(facts.row_group(n).num_rows for n in groups), on_read)
        for batch in table.iter_batches(batch_size=ROWS, row_groups=groups):
            yield from _transposed(batch.to_pydict(), len(batch))
            told.rows(len(batch))


def _arrow(file: TextFile, on_read: OnRead) -> Iterator[Row]:
    import pyarrow.ipc

    with opened(file, on_read) as source:
        for batch in pyarrow.ipc.open_stream(source):
            yield from _transposed(batch.to_pydict(), len(batch))


def _transposed(columns: Mapping[str, Any], count: int) -> Iterator[Row]:
    for index in range(count):
        yield {name: values[index] for name, values in columns.items()}


class _Told:
    """Tells of rows as a share of the bytes of their file."""

    def __init__(self, size: int, rows: int, on_read: OnRead) -> None:
        self._size, self._rows, self._on_read = size, max(rows, 1), on_read
        self._done = 0

    def rows(self, count: int) -> None:
        before = self._size * self._done // self._rows
        self._done += count
        self._on_read(self._size * self._done // self._rows - before)
