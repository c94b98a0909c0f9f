"""The masks of the masked objective: functions of seed, phase, epoch and place in the text.

Called by `dataset.batches`. The rule is BERT's (Devlin et al., arXiv 1810.04805): a share of the
tokens is predicted, of which most are shown as [MASK], some as a random token and the rest as they
are. Exactly the share of each sequence is taken, so that every sequence counts; of whole words, the
share on average.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config.run import MaskingConfig
from lmtrainer.randomness import bits, uniform
from lmtrainer.vocab import Vocabulary

_LAST = np.uint64(2**64 - 1)


@dataclass(frozen=True, eq=False)
class Stretches:
    """The text in a packed row: stretch i lies at row[places[i]] and has sizes[i] tokens, which
    are those from starts[i] on in their split. keys[i] is the key of its masks."""

    places: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    keys: NDArray[np.uint64]


def mask(
    row: NDArray[np.int64],
    stretches: Stretches,
    masking: MaskingConfig,
    vocabulary: Vocabulary,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose what to predict and hide it, in place, in a packed row [T].

    Returns the places to predict, ascending, and the ids that stood there, both [M]. Special tokens
    are never chosen. The same stretch with the same key gets the same masks in any row.
    """
    grid = np.arange(stretches.sizes.max(initial=0))
    inside = grid < stretches.sizes[:, None]
    places = np.where(inside, stretches.places[:, None] + grid, 0)
    candidates = inside & ~np.isin(row, vocabulary.special_ids)[places]
    counters = stretches.starts[:, None] + grid
    if masking.whole_words:
        begins = _word_begins(row[places], vocabulary)
        hashes = bits(stretches.keys[:, None], stretches.starts[:, None] + begins)
        coins = uniform(bits(stretches.keys, 3), stretches.starts)
        chosen = _lowest_words(candidates, hashes, coins, masking.share)
    else:
        hashes = bits(stretches.keys[:, None], counters)
        chosen = _lowest(candidates, hashes, masking.share)
    targets = places[chosen]
    labels = row[targets]
    which = np.nonzero(chosen)[0]
    row[targets] = _shown(labels, stretches.keys[which], counters[chosen], masking, vocabulary)
    return targets, labels


def _lowest(
    candidates: NDArray[np.bool_], hashes: NDArray[np.uint64], share: float
) -> NDArray[np.bool_]:
    """In each line, the share of the candidates with the lowest hashes; at least one, if any."""
    if not hashes.shape[1]:
        return candidates
    return candidates & (hashes <= _limit(candidates, hashes, _budget(candidates, share)))


def _lowest_words(
    candidates: NDArray[np.bool_],
    hashes: NDArray[np.uint64],
    coins: NDArray[np.float64],
    share: float,
) -> NDArray[np.bool_]:
    """The same with words, whose tokens have one hash. The last word is often too long: it is taken
    as often as makes the share come out on average, and always if it is the first."""
    if not hashes.shape[1]:
        return candidates
    budget = _budget(candidates, share)
    limit = _limit(candidates, hashes, budget)
    below, last = candidates & (hashes < limit), candidates & (hashes == limit)
    taken = below.sum(axis=1)
    takes = (coins * last.sum(axis=1) < budget - taken) | (taken == 0)
    chosen: NDArray[np.bool_] = below | (last & takes[:, None])
    return chosen


def _budget(candidates: NDArray[np.bool_], share: float) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.rint(share * candidates.sum(axis=1)).astype(np.int64)
    return np.maximum(found, 1)


def _limit(
    candidates: NDArray[np.bool_], hashes: NDArray[np.uint64], budget: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """[lines, 1] The highest of the budget's lowest hashes."""
    ranked = np.sort(np.where(candidates, hashes, _LAST), axis=1)
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
