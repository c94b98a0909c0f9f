"""The ways to cut a split into stretches of tokens, as arithmetic on where its documents begin.

Called by `dataset.samples`. Every function gives where stretches begin and how many tokens they
have, both int64 [stretches], and takes no more than a few arrays of that size. `room` is the most
tokens of a stretch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GROUP = 1000
"""Documents that are cut together by `groups`: what `datasets.map` gives to a function at once."""

_WALK = 1 << 20
"""Sentences that are walked through at once."""

Places = NDArray[np.int64]


class Stretches(NamedTuple):
    """Stretches of text."""

    starts: Places
    sizes: Places


def documents(offsets: Places, room: int) -> Stretches:
    """Each document in as few, nearly equal parts as fit."""
    return _parts(offsets[:-1], np.diff(offsets), room)


def stream_with_tail(tokens: int, room: int) -> Stretches:
    """All text end to end; a last stretch of one token, which predicts nothing, is left out."""
    starts = np.arange(0, max(tokens - 1, 0), room, dtype=np.int64)
    return Stretches(starts, np.minimum(room, tokens - starts))


def blocks(tokens: int, room: int) -> Stretches:
    """All text end to end; what is left at the end is dropped."""
    starts = np.arange(tokens // room, dtype=np.int64) * room
    return Stretches(starts, np.full(len(starts), room))


def groups(offsets: Places, room: int) -> Stretches:
    """The text of each GROUP documents end to end; what is left at the end of a group is dropped,
    unless it is all there is of it."""
    begins = np.append(offsets[:-1:GROUP], offsets[-1])
    sizes = np.diff(begins)
    counts = np.maximum(sizes // room, sizes > 0)
    group, number = _numbered(counts)
    starts = begins[group] + number * room
    return Stretches(starts, np.minimum(sizes[group], room))


def lines(offsets: Places, room: int) -> Stretches:
    """The beginning of each document, a line here."""
    return Stretches(offsets[:-1], np.minimum(np.diff(offsets), room))


def sentences(offsets: Places, room: int, *, split: bool) -> Stretches:
    """As many whole sentences as fit, one after the other (FULL-SENTENCES of Liu et al. 2019, arXiv
    1907.11692). A document is a sentence here, and ends in a separator, which stands between two of
    them and is left out behind the last one. A longer sentence than fits is cut into nearly equal
    parts (`split`), or left out, which ends the stretch before it."""
    begins, sizes = offsets[:-1], np.diff(offsets) - 1
    if split:
        starts, sizes = _parts(begins, sizes, room)
        bounds = np.array([len(starts)])
    else:
        kept = np.flatnonzero(sizes <= room)
        starts, sizes = begins[kept], sizes[kept]
        bounds = np.append(np.flatnonzero(np.diff(kept) > 1) + 1, len(kept))
    ends = starts + sizes
    after = np.searchsorted(ends, starts + room, side="right")
    after = np.minimum(after, bounds[np.searchsorted(bounds, np.arange(len(starts)), "right")])
    first = _walk(after)
    return Stretches(starts[first], ends[after[first] - 1] - starts[first])


def long_sentences(offsets: Places, room: int) -> int:
    """How many sentences are longer than fits."""
    return int((np.diff(offsets) - 1 > room).sum())


def _walk(after: Places) -> Places:
    """The places that are reached from 0 by going from i to after[i] > i."""
    found: list[Places] = []
    here = 0
    for base in range(0, len(after), _WALK):
        hops = after[base : base + _WALK].tolist()
        reached = []
        while here < base + len(hops):
            reached.append(here)
            here = hops[here - base]
        found.append(np.array(reached, dtype=np.int64))
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


def _parts(begins: Places, sizes: Places, room: int) -> Stretches:
    counts = -(-sizes // room)
    whole, part = _numbered(counts)
    starts = part * sizes[whole] // counts[whole]
    ends = (part + 1) * sizes[whole] // counts[whole]
    return Stretches(begins[whole] + starts, ends - starts)


def _numbered(counts: Places) -> tuple[Places, Places]:
    """For counts [2, 1]: to whom each belongs, [0, 0, 1], and its number there, [0, 1, 0]."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
