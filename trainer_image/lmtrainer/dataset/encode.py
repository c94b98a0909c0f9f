"""Documents to token ids, a few megabytes at a time. Called by the preparation of data."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from lmtrainer.dataset.writing import Writer
from lmtrainer.faults import UserError
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
        unknown = [piece.text for _, piece in batch if piece.ids is None]
        encoded = iter(vocabulary.encode(unknown) if unknown else ())
        for split, piece in batch:
            if piece.ids is None:
                writer.add(split, next(encoded), last=piece.last)
                continue
            _check_known(piece, vocabulary)
            if piece.instance is not None:
                writer.add_instance(split, piece.ids, piece.instance)
            else:
                writer.add(split, _bare(piece.ids, vocabulary, writer), last=piece.last)


def _check_known(piece: Piece, vocabulary: Vocabulary) -> None:
    """UserError for ids of another vocabulary."""
    assert piece.ids is not None
    highest = int(piece.ids.max(initial=0))
    if piece.instance is not None:
        highest = max(highest, int(piece.instance.labels.max(initial=0)))
    if highest >= vocabulary.size:
        raise UserError(
            f"data.train: input_ids hold {highest}, and the tokenizer has {vocabulary.size} "
            "tokens; give the tokenizer that made them in tokenizer.from"
        )


def _bare(ids: NDArray[np.uint32], vocabulary: Vocabulary, writer: Writer) -> NDArray[np.uint32]:
    """Tokens that came as such without the special ones around them, which are put around each
    document, or around each sequence when it is loaded."""
    begin, end = 0, len(ids)
    while end and ids[end - 1] == vocabulary.pad:
        end -= 1
    if end and ids[end - 1] in (vocabulary.sep, writer.terminator):
        end -= 1
    if begin < end and ids[0] == vocabulary.cls:
        begin = 1
    return ids[begin:end]


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
        size += len(piece.text) if piece.ids is None else len(piece.ids)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
