"""The ways to cut a split into stretches of tokens, as arithmetic on where its documents begin.

Called by `dataset.samples`. Documents come some at a time, as arrays of where they begin and where
the last one ends, in tokens of the split; what comes out is the same however many come at once, and
memory depends on that number alone. Stretches are told by where they begin and how many tokens they
have, both int64 [stretches]. `room` is the most tokens of a stretch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GROUP = 1000
"""Documents that are cut together by `groups`: what `datasets.map` gives to a function at once."""

AT_ONCE = 1 << 20
"""Stretches of even size, or sentences, that are made or walked through at once."""

Places = NDArray[np.int64]


class Stretches(NamedTuple):
    """Stretches of text."""

    starts: Places
    sizes: Places


def documents(chunks: Iterable[Places], room: int) -> Iterator[Stretches]:
    """Each document in as few, nearly equal parts as fit."""
    for offsets in chunks:
        yield _parts(offsets[:-1], np.diff(offsets), room)


def stream_with_tail(tokens: int, room: int) -> Iterator[Stretches]:
    """All text end to end; a last stretch of one token, which predicts nothing, is left out."""
    for starts in _even(-(-max(tokens - 1, 0) // room), room):
        yield Stretches(starts, np.minimum(room, tokens - starts))


def blocks(tokens: int, room: int) -> Iterator[Stretches]:
    """All text end to end; what is left at the end is dropped."""
    for starts in _even(tokens // room, room):
        yield Stretches(starts, np.full(len(starts), room))


def groups(chunks: Iterable[Places], room: int) -> Iterator[Stretches]:
    """The text of each GROUP documents end to end; what is left at the end of a group is dropped,
    unless it is all there is of it."""
    for offsets in _whole_groups(chunks):
        begins = np.append(offsets[:-1:GROUP], offsets[-1])
        sizes = np.diff(begins)
        counts = np.maximum(sizes // room, sizes > 0)
        group, number = _numbered(counts)
        yield Stretches(begins[group] + number * room, np.minimum(sizes[group], room))


def lines(chunks: Iterable[Places], room: int) -> Iterator[Stretches]:
    """The beginning of each document, a line here."""
    for offsets in chunks:
        yield Stretches(offsets[:-1], np.minimum(np.diff(offsets), room))


class _Units(NamedTuple):
    """Sentences, or parts of long ones."""

    starts: Places
    ends: Places
    breaks: NDArray[np.bool_]
    """Is it not to be joined with the one before it?"""

    def with_more(self, more: _Units) -> _Units:
        return _Units(
            np.concatenate((self.starts, more.starts)),
            np.concatenate((self.ends, more.ends)),
            np.concatenate((self.breaks, more.breaks)),
        )

    def since(self, first: int) -> _Units:
        return _Units(self.starts[first:], self.ends[first:], self.breaks[first:])


def sentences(chunks: Iterable[Places], room: int, *, split: bool) -> Iterator[Stretches]:
    """As many whole sentences as fit, one after the other (FULL-SENTENCES of Liu et al. 2019, arXiv
    1907.11692). A document is a sentence here, and ends in a separator, which stands between two of
    them and is left out behind the last one. A longer sentence than fits is cut into nearly equal
    parts (`split`), or left out, which ends the stretch before it."""
    nothing = np.empty(0, dtype=np.int64)
    held = _Units(nothing, nothing, nothing.astype(np.bool_))
    broken = False
    for offsets in chunks:
        units, dropped = _units(offsets, room, split=split)
        if broken and len(units.breaks):
            units.breaks[0] = True
        broken = dropped or (broken and not len(units.breaks))
        units = held.with_more(units)
        if not len(units.starts):
            continue
        after = _after(units, room)
        # The last stretch may go on in the next chunk.
        *first, last = _walk(after).tolist()
        yield Stretches(units.starts[first], units.ends[after[first] - 1] - units.starts[first])
        held = units.since(last)
    yield Stretches(held.starts[:1], held.ends[-1:] - held.starts[:1])


def long_sentences(chunks: Iterable[Places], room: int) -> int:
    """How many sentences are longer than fits."""
    return sum(int((np.diff(offsets) - 1 > room).sum()) for offsets in chunks)


def _units(offsets: Places, room: int, *, split: bool) -> tuple[_Units, bool]:
    """Units of sentences, and whether the last sentence is none of them."""
    begins, sizes = offsets[:-1], np.diff(offsets) - 1
    if split:
        starts, sizes = _parts(begins, sizes, room)
        return _Units(starts, starts + sizes, np.zeros(len(starts), dtype=np.bool_)), False
    kept = np.flatnonzero(sizes <= room)
    starts = begins[kept]
    dropped = len(sizes) > 0 and bool(sizes[-1] > room)
    return _Units(starts, starts + sizes[kept], np.diff(kept, prepend=-1) > 1), dropped


def _after(units: _Units, room: int) -> Places:
    """For each unit, the first one behind it that does not fit into a stretch that begins there."""
    count = len(units.starts)
    fits = np.searchsorted(units.ends, units.starts + room, side="right")
    bounds = np.append(np.flatnonzero(units.breaks), count)
    next_break: Places = bounds[np.searchsorted(bounds, np.arange(count), side="right")]
    return np.minimum(fits, next_break)


def _walk(after: Places) -> Places:
    """The places that are reached from 0 by going from i to after[i] > i."""
    found: list[Places] = []
    here = 0
    for base in range(0, len(after), AT_ONCE):
        hops = after[base : base + AT_ONCE].tolist()
        reached = []
        while here < base + len(hops):
            reached.append(here)
            here = hops[here - base]
        found.append(np.array(reached, dtype=np.int64))
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


def _even(count: int, room: int) -> Iterator[Places]:
    for begin in range(0, count, AT_ONCE):
        yield np.arange(begin, min(begin + AT_ONCE, count), dtype=np.int64) * room


def _whole_groups(chunks: Iterable[Places]) -> Iterator[Places]:
    """The same documents, GROUP or several times as many at once; at the end, what is left."""
    held = np.zeros(1, dtype=np.int64)
    for number, offsets in enumerate(chunks):
        held = offsets if not number else np.concatenate((held, offsets[1:]))
        whole = (len(held) - 1) // GROUP * GROUP
        if whole:
            yield held[: whole + 1]
            held = held[whole:]
    if len(held) > 1:
        yield held


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
