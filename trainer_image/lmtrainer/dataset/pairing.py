"""Pairs of sentences out of documents: which stretch of the text is A, which is B.

Called by `dataset.pairs`. The rules are those of google-research/bert, create_pretraining_data.py
(Devlin et al. 2018, arXiv 1810.04805): a document is cut into chunks of whole sentences of about
the length that fits; a chunk is split into A and B at a sentence; or B is text of another document,
and what A does not take goes back. Three things are done better:

- B is never random text out of the document of A.
- What is too long is cut so that no sentence vanishes: each keeps a token at least.
- What is cut off at either end leaves two stretches of the text: a pair is five numbers.

A chunk of one sentence has nothing that follows: its B is random, as there. So a corpus needs two
documents, and some of two sentences.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lmtrainer.dataset.pairchunks import Chance, Chunks, Drawing, Ints, Sentences, chunks_of
from lmtrainer.randomness import bits

PAIR = np.dtype(
    [
        ("a_start", "<u8"),
        ("b_start", "<u8"),
        ("a_size", "<u4"),
        ("b_size", "<u4"),
        ("is_random", "u1"),
    ]
)
"""A pair: where its two parts begin in the split, how many tokens they have, and its label."""


def pairs(sentences: Sentences, drawing: Drawing) -> Iterator[NDArray[np.void]]:
    """All pairs of one pass over a split, in its order, a few thousand at a time [n] of PAIR.

    Needs two documents. Memory is flat; the same key gives the same pairs.
    """
    for found in chunks_of(sentences, drawing):
        yield _pairs(sentences, found, drawing)


def _pairs(sentences: Sentences, chunks: Chunks, drawing: Drawing) -> NDArray[np.void]:
    begin_a, first_a, last_a, end_a, first_b, last_b = chunks.borders.T
    size_a = end_a - begin_a
    begin_b, end_b = end_a.copy(), chunks.end.copy()
    random = np.flatnonzero(chunks.is_random)
    begin_b[random], end_b[random] = _elsewhere(
        sentences, chunks, drawing, random, (chunks.target - size_a)[random]
    )
    size_b = end_b - begin_b
    loss_a, loss_b = _losses(size_a, size_b, drawing.room)
    whole_a = first_a == end_a
    free_a = _spare(size_a, first_a - begin_a, end_a - last_a, whole_a)
    whole_b = chunks.is_random | (first_b == end_b)
    free_b = _spare(size_b, first_b - begin_b, end_b - last_b, whole_b)
    excess = loss_a + loss_b
    loss_b = np.minimum(excess - np.minimum(loss_a, free_a), free_b)
    loss_a = excess - loss_b
    counters = chunks.number
    front_a = _front(
        loss_a, first_a - begin_a, end_a - last_a, whole_a, (drawing, Chance.FRONT_A, counters)
    )
    front_b = _front(
        loss_b, first_b - begin_b, end_b - last_b, whole_b, (drawing, Chance.FRONT_B, counters)
    )
    found = np.empty(len(size_a), dtype=PAIR)
    found["a_start"], found["b_start"] = begin_a + front_a, begin_b + front_b
    found["a_size"], found["b_size"] = size_a - loss_a, size_b - loss_b
    found["is_random"] = chunks.is_random
    return found


def _elsewhere(
    sentences: Sentences, chunks: Chunks, drawing: Drawing, which: Ints, wanted: Ints
) -> tuple[Ints, Ints]:
    """Text of other documents for some chunks: from any sentence on, `wanted` tokens or a little
    more in whole sentences, one at least, or to the end of the document."""
    documents = len(sentences.offsets) - 1
    counters = chunks.number[which]
    drawn = (drawing.draw(Chance.DOCUMENT, counters) * (documents - 1)).astype(np.int64)
    drawn += drawn >= chunks.document[which]
    chance = drawing.draw(Chance.SENTENCE, counters)
    places = sentences.places
    shards = np.searchsorted(places, sentences.offsets[drawn], side="right") - 1
    begin, end = np.empty_like(drawn), np.empty_like(drawn)
    for shard in np.unique(shards):
        here = shards == shard
        begins, place = sentences.begins[shard], places[shard]
        limits = [
            np.searchsorted(begins, (sentences.offsets[drawn[here] + n] - place).astype(np.uint64))
            for n in (0, 1)
        ]
        first = limits[0] + (chance[here] * (limits[1] - limits[0])).astype(np.int64)
        start = begins[first].astype(np.int64)
        goal = (start + np.maximum(wanted[here], 1)).astype(np.uint64)
        last = np.minimum(np.searchsorted(begins, goal), limits[1])
        begin[here], end[here] = start + place, begins[last].astype(np.int64) + place
    return begin, end


def _losses(a: Ints, b: Ints, room: int) -> tuple[Ints, Ints]:
    """What each part gives up for both to fit: always a token of the longer one, of B if both are
    as long."""
    kept_a = np.minimum(a, np.maximum(room - b, -(-room // 2)))
    kept_b = np.minimum(b, room - kept_a)
    return np.maximum(a - kept_a, 0), b - kept_b


def _spare(size: Ints, first: Ints, last: Ints, whole: NDArray[np.bool_]) -> Ints:
    """What a part can give up so that its first and last sentence keep a token each; `whole`: it is
    one sentence, or nobody asks for its sentences."""
    return np.where(whole, size - 1, first + last - 2)


def _front(
    loss: Ints,
    first: Ints,
    last: Ints,
    whole: NDArray[np.bool_],
    draw: tuple[Drawing, Chance, Ints],
) -> Ints:
    """How much of the loss is cut off in front: a coin for each token, but no more than leaves the
    first and the last sentence a token."""
    heads = np.zeros_like(loss)
    some = np.flatnonzero(loss)
    drawing, purpose, counters = draw
    key, left, word = int(bits(drawing.key, purpose)[0]), loss[some], 0
    while len(some):
        random = bits(int(bits(key, word)[0]), counters[some])
        kept = np.minimum(left, 64).astype(np.uint64)
        heads[some] += np.bitwise_count(random >> (np.uint64(64) - kept)).astype(np.int64)
        more = left > 64
        some, left, word = some[more], left[more] - 64, word + 1
    least = np.where(whole, 0, np.maximum(loss - (last - 1), 0))
    most = np.where(whole, loss, np.minimum(loss, first - 1))
    return np.clip(heads, least, most)
