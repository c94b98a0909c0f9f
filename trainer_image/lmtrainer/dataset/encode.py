"""Documents to token ids, a few megabytes at a time. Called by the preparation of data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lmtrainer.dataset.writing import Writer
from lmtrainer.text.documents import Piece
from lmtrainer.text.split import Split
from lmtrainer.vocab import Vocabulary

BATCH = 1 << 20
"""Characters that are encoded at once: enough to keep every core of the tokenizer busy."""


def encode(pieces: Iterable[tuple[Split, Piece]], vocabulary: Vocabulary, writer: Writer) -> None:
    """Encode every document and hand it to the writer, in order."""
    for batch in _batches(pieces):
        encoded = vocabulary.encode([piece.text for _, piece in batch])
        for (split, piece), ids in zip(batch, encoded, strict=True):
            writer.add(split, ids, last=piece.last)


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
