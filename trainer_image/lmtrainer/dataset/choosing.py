"""Which tokens of a row are to be predicted: functions of seed, phase, epoch and place in the text.

Called by `dataset.masking`; the packers of samples say where their text lies. Each token, or each
whole word, draws a random number; a sequence takes the lowest ones. All sequences of a row are
sorted at once, as plain numbers: above the bits that are drawn stands the number of the sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config.masking import MaskingConfig
from lmtrainer.randomness import Counters, bits, uniform
from lmtrainer.vocab import Vocabulary

LINES = 1 << 16
"""Most stretches that are looked at at once."""

_DRAWN = np.uint64(48)
"""Bits of a rank that are random; above them stands the number of the stretch."""

_LAST = np.uint64(2**48 - 1)


@dataclass(frozen=True, eq=False)
class Stretches:
    """The text in a packed row: stretch i lies at row[places[i]] and has sizes[i] tokens, which
    are those from starts[i] on in their split. keys[i] is the key of its masks. (Of pairs
    of sentences the second part counts on from the first: numbers are all that a place is for.)"""

    places: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    keys: NDArray[np.uint64]

    def __getitem__(self, which: slice) -> Stretches:
        return Stretches(
            self.places[which], self.sizes[which], self.starts[which], self.keys[which]
        )


class Tokens:
    """The tokens of N stretches, or lines, one after the other. Arrays are [tokens] or [N]."""

    def __init__(self, row: NDArray[np.int64], stretches: Stretches) -> None:
        self.ends = np.cumsum(stretches.sizes)
        self.begins = self.ends - stretches.sizes
        self.line = np.repeat(np.arange(len(self.begins)), stretches.sizes)
        """Whose they are."""
        number = np.arange(len(self.line))
        self.places = number + (stretches.places - self.begins)[self.line]
        self.counters = Counters(number + (stretches.starts - self.begins)[self.line])
        self.keys, self.starts = stretches.keys, stretches.starts
        self.ids = row[self.places]


def chosen(
    tokens: Tokens, masking: MaskingConfig, vocabulary: Vocabulary, most: int | None
) -> NDArray[np.bool_]:
    """[tokens] Those to be predicted, of each stretch exactly the share; of whole words, the share
    on average. With `most` no stretch gets more than that, nor, of whole words, more than its
    share. Special tokens are never chosen."""
    candidates: NDArray[np.bool_] = ~vocabulary.is_special[tokens.ids]
    if not len(candidates):
        return candidates
    counters = tokens.counters
    if masking.whole_words:
        counters = counters[_word_begins(tokens, vocabulary)]
    ranks = _ranks(tokens, candidates, counters)
    ranked = np.sort(ranks)
    budget = _budget(tokens, ranked, masking.share, most)
    if masking.whole_words and most is not None:
        return candidates & _words_that_fit(tokens, ranks, ranked, budget)
    limits = ranked[np.minimum(tokens.begins + budget, tokens.ends) - 1]
    if masking.whole_words:
        return candidates & _lowest_words(tokens, ranks, limits, budget)
    found: NDArray[np.bool_] = candidates & (ranks <= limits[tokens.line])
    return found


def _word_begins(tokens: Tokens, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Where the word of each token begins. The first token of a line always begins one."""
    number = np.arange(len(tokens.ids))
    goes_on = vocabulary.continues[tokens.ids] & (number > tokens.begins[tokens.line])
    found: NDArray[np.int64] = np.maximum.accumulate(np.where(goes_on, 0, number))
    return found


def _ranks(tokens: Tokens, candidates: NDArray[np.bool_], counters: Counters) -> NDArray[np.uint64]:
    """Random numbers that sort by line, and in it what is no candidate behind all others: one sort
    of plain numbers does for all lines."""
    drawn = counters.bits(tokens.keys[tokens.line]) >> (np.uint64(64) - _DRAWN)
    np.copyto(drawn, _LAST, where=~candidates)
    drawn |= tokens.line.astype(np.uint64) << _DRAWN
    return drawn


def _budget(
    tokens: Tokens, ranked: NDArray[np.uint64], share: float, most: int | None
) -> NDArray[np.int64]:
    """[N] Tokens to predict, one at least."""
    lasts = np.arange(len(tokens.begins), dtype=np.uint64) << _DRAWN | _LAST
    counts = np.searchsorted(ranked, lasts) - tokens.begins
    wanted: NDArray[np.int64] = np.rint(share * counts).astype(np.int64)
    return np.clip(wanted, 1, most)


def _lowest_words(
    tokens: Tokens,
    ranks: NDArray[np.uint64],
    limits: NDArray[np.uint64],
    budget: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Words, whose tokens have one rank. The last word is often too long: it is taken as often as
    makes the share come out on average, and always if it is the first."""
    limit = limits[tokens.line]
    below, last = ranks < limit, ranks == limit
    lines = len(tokens.begins)
    taken = np.bincount(tokens.line[below], minlength=lines)
    too_long = np.bincount(tokens.line[last], minlength=lines)
    coins = uniform(bits(tokens.keys, 3), tokens.starts)
    takes = (coins * too_long < budget - taken) | (taken == 0)
    found: NDArray[np.bool_] = below | (last & takes[tokens.line])
    return found


def _words_that_fit(
    tokens: Tokens,
    ranks: NDArray[np.uint64],
    ranked: NDArray[np.uint64],
    budget: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Words in the order of their ranks; one that would be too many is passed over, as
    google-research/bert does it."""
    word_ends = np.searchsorted(ranked, ranked, side="right")
    steps = np.zeros(len(ranks) + 1, dtype=np.int8)
    lines = np.flatnonzero(tokens.ends > tokens.begins)
    left, place, end_of_line = budget[lines], tokens.begins[lines], tokens.ends[lines]
    while len(place):
        end = word_ends[place]
        fits = end - place <= left
        steps[place[fits]] += 1
        steps[end[fits]] -= 1
        left -= np.where(fits, end - place, 0)
        more = (end < end_of_line) & (left > 0)
        left, place, end_of_line = left[more], end[more], end_of_line[more]
    taken = np.cumsum(steps[:-1]) > 0
    return taken[np.searchsorted(ranked, ranks)]
