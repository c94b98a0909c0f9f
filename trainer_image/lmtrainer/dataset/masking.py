"""The masks of the masked objective: functions of seed, phase, epoch and place in the text.

Called by `dataset.batches`. The rule is BERT's (Devlin et al., arXiv 1810.04805): a share of the
tokens is predicted, of which most are shown as [MASK], some as a random token and the rest as they
are. Exactly the share of each sequence is taken, so that every sequence counts; of whole words, the
share on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config.masking import MaskingConfig
from lmtrainer.randomness import bits, uniform
from lmtrainer.vocab import Vocabulary

FEW = 16
"""Stretches that are not worth being halved."""

_LAST = np.uint64(2**64 - 1)


@dataclass(frozen=True, eq=False)
class Stretches:
    """The text in a packed row: stretch i lies at row[places[i]] and has sizes[i] tokens, which
    are those from starts[i] on in their split. keys[i] is the key of its masks. (Of pairs
    of sentences the second part counts on from the first: numbers are all that a place is for.)"""

    places: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    keys: NDArray[np.uint64]

    def halves(self) -> tuple[Stretches, Stretches] | None:
        """The shorter and the longer half, where a table of all of them would be mostly empty."""
        count = len(self.sizes)
        if count < FEW or self.sizes.max() * count < 2 * self.sizes.sum():
            return None
        order = np.argsort(self.sizes, kind="stable")
        short, long = order[: count // 2], order[count // 2 :]
        return self._of(short), self._of(long)

    def _of(self, which: NDArray[np.int64]) -> Stretches:
        places, sizes = self.places[which], self.sizes[which]
        return Stretches(places, sizes, self.starts[which], self.keys[which])


def mask(
    row: NDArray[np.int64],
    stretches: Stretches,
    masking: MaskingConfig,
    vocabulary: Vocabulary,
    most: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose what to predict and hide it, in place, in a packed row [T].

    Returns the places to predict, ascending, and the ids that stood there, both [M]. Special tokens
    are never chosen. The same stretch with the same key gets the same masks in any row. With `most`
    no sequence gets more than that, nor, of whole words, more than its share.
    """
    halves = stretches.halves()
    if halves is not None:
        found = [mask(row, half, masking, vocabulary, most) for half in halves]
        places, ids = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        order = np.argsort(places)
        return places[order], ids[order]
    grid = np.arange(stretches.sizes.max(initial=0))
    inside = grid < stretches.sizes[:, None]
    places = np.where(inside, stretches.places[:, None] + grid, 0)
    candidates = inside & ~vocabulary.is_special[row][places]
    counters = stretches.starts[:, None] + grid
    budget = _budget(candidates, masking.share, most)
    if masking.whole_words:
        begins = _word_begins(row[places], vocabulary)
        hashes = bits(stretches.keys[:, None], stretches.starts[:, None] + begins)
        if most is None:
            coins = uniform(bits(stretches.keys, 3), stretches.starts)
            chosen = _lowest_words(candidates, hashes, coins, budget)
        else:
            chosen = _words_that_fit(candidates, hashes, budget)
    else:
        hashes = bits(stretches.keys[:, None], counters)
        chosen = _lowest(candidates, hashes, budget)
    targets = places[chosen]
    labels = row[targets]
    which = np.nonzero(chosen)[0]
    row[targets] = _shown(labels, stretches.keys[which], counters[chosen], masking, vocabulary)
    return targets, labels


def capped(length: int, share: float) -> int:
    """Most tokens to predict of a sequence of `length`, if each were drawn by itself: mean and two
    standard deviations, in whole sixteens (the cap of optimum-graphcore): 32 of 128, 96 of 512."""
    likely = share * length + 2 * math.sqrt(length * share * (1 - share))
    return min(length, 16 * math.ceil(likely / 16))


def most_predictions(masking: MaskingConfig, length: int) -> int | None:
    """The configured cap for sequences of `length`, None for none."""
    if masking.max_predictions == "auto":
        return capped(length, masking.share)
    return masking.max_predictions


def _lowest(
    candidates: NDArray[np.bool_], hashes: NDArray[np.uint64], budget: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """In each line, as many of the candidates as it may have, those with the lowest hashes."""
    if not hashes.shape[1]:
        return candidates
    return candidates & (hashes <= _limit(candidates, hashes, budget))


def _lowest_words(
    candidates: NDArray[np.bool_],
    hashes: NDArray[np.uint64],
    coins: NDArray[np.float64],
    budget: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """The same with words, whose tokens have one hash. The last word is often too long: it is taken
    as often as makes the share come out on average, and always if it is the first."""
    if not hashes.shape[1]:
        return candidates
    limit = _limit(candidates, hashes, budget)
    below, last = candidates & (hashes < limit), candidates & (hashes == limit)
    taken = below.sum(axis=1)
    takes = (coins * last.sum(axis=1) < budget - taken) | (taken == 0)
    chosen: NDArray[np.bool_] = below | (last & takes[:, None])
    return chosen


def _words_that_fit(
    candidates: NDArray[np.bool_], hashes: NDArray[np.uint64], budget: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Words in the order of their hashes; one that would be too many is passed over, as
    google-research/bert does it."""
    keys = np.where(candidates, hashes, _LAST)
    order = np.argsort(keys, axis=1, kind="stable")
    ranked = np.take_along_axis(keys, order, axis=1)
    chosen = np.zeros_like(candidates)
    left = budget.copy()
    lines = np.arange(len(left))
    place = np.zeros_like(left)
    while len(lines):
        here = ranked[lines, place]
        end = (ranked[lines] <= here[:, None]).sum(axis=1)
        fits = (end - place <= left[lines]) & (here != _LAST)
        left[lines[fits]] -= (end - place)[fits]
        chosen[lines[fits]] |= keys[lines[fits]] == here[fits, None]
        more = (end < keys.shape[1]) & (here != _LAST) & (left[lines] > 0)
        lines, place = lines[more], end[more]
    return chosen & candidates


def _budget(candidates: NDArray[np.bool_], share: float, most: int | None) -> NDArray[np.int64]:
    """Tokens to predict in each line, one at least."""
    found: NDArray[np.int64] = np.rint(share * candidates.sum(axis=1)).astype(np.int64)
    return np.clip(found, 1, most)


def _limit(
    candidates: NDArray[np.bool_], hashes: NDArray[np.uint64], budget: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """[lines, 1] The highest of the budget's lowest hashes."""
    most = int(budget.max(initial=1))
    ranked = np.partition(np.where(candidates, hashes, _LAST), most - 1, axis=1)[:, :most]
    ranked.sort(axis=1)
    found: NDArray[np.uint64] = np.take_along_axis(ranked, budget[:, None] - 1, axis=1)
    return found


def _word_begins(tokens: NDArray[np.int64], vocabulary: Vocabulary) -> NDArray[np.int64]:
    """[lines, tokens] Where in its line the word of each token begins."""
    grid = np.arange(tokens.shape[1])
    begins = np.where(vocabulary.continues[tokens], 0, grid)
    found: NDArray[np.int64] = np.maximum.accumulate(begins, axis=1)
    return found


def _shown(
    labels: NDArray[np.int64],
    keys: NDArray[np.uint64],
    counters: NDArray[np.int64],
    masking: MaskingConfig,
    vocabulary: Vocabulary,
) -> NDArray[np.int64]:
    """What the model sees in place of the labels."""
    assert vocabulary.mask is not None, "checked when the dataset was opened"
    kind = uniform(bits(keys, 1), counters)
    draw = uniform(bits(keys, 2), counters) * len(vocabulary.regular_ids)
    random = vocabulary.regular_ids[draw.astype(np.int64)]
    shown = np.where(kind < masking.masked + masking.random, random, labels)
    return np.where(kind < masking.masked, vocabulary.mask, shown)
