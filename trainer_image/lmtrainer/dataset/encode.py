"""Documents to token ids, a few megabytes at a time. Called by the preparation of data."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from lmtrainer.dataset.writing import Writer
from lmtrainer.text.documents import Piece
from lmtrainer.text.split import Split
from lmtrainer.vocab import Vocabulary

BATCH = 1 << 20
"""Characters that are encoded at once: enough to keep every core of the tokenizer busy."""


def encode(
    pieces: Iterable[tuple[Split, Piece]],
    vocabulary: Vocabulary,
    writer: Writer,
    *,
    sentences: bool = False,
) -> None:
    """Encode every document and hand it to the writer, in order. With `sentences` each line of a
    document is one, encoded by itself without the white space around it."""
    for batch in _batches(pieces):
        if sentences:
            _encode_sentences(batch, vocabulary, writer)
            continue
        encoded = vocabulary.encode([piece.text for _, piece in batch])
        for (split, piece), ids in zip(batch, encoded, strict=True):
            writer.add(split, ids, last=piece.last)


def _encode_sentences(
    batch: list[tuple[Split, Piece]], vocabulary: Vocabulary, writer: Writer
) -> None:
    lines = [[line.strip() for line in piece.text.split("\n")] for _, piece in batch]
    encoded = iter(vocabulary.encode(list(itertools.chain(*lines))))
    for (split, piece), here in zip(batch, lines, strict=True):
        found = [ids for ids in itertools.islice(encoded, len(here)) if len(ids)]
        ids = np.concatenate(found) if found else np.empty(0, dtype=np.uint32)
        ends = list(itertools.accumulate(map(len, found)))
        writer.add(split, ids, last=piece.last, ends=ends)


def _batches(
    pieces: Iterable[tuple[Split, Piece]],
) -> Iterator[list[tuple[Split, Piece]]]:
    batch: list[tuple[Split, Piece]] = []
    size = 0
    for split, piece in pieces:
        batch.append((split, piece))
        size += len(piece.text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
