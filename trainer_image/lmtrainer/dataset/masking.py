"""The masks of the masked objective: functions of seed, phase, epoch and place in the text.

Called by `dataset.batches`. The rule is BERT's (Devlin et al., arXiv 1810.04805): a share of the
tokens is predicted, of which most are shown as [MASK], some as a random token and the rest as they
are. Exactly the share of each sequence is taken, so that every sequence counts; of whole words, the
share on average.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config.masking import MaskingConfig
from lmtrainer.dataset.choosing import LINES, Stretches, Tokens, chosen
from lmtrainer.randomness import bits
from lmtrainer.vocab import Vocabulary


def mask(
    row: NDArray[np.int64],
    stretches: Stretches,
    masking: MaskingConfig,
    vocabulary: Vocabulary,
    most: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose what to predict and hide it, in place, in a packed row [T].

    Returns the places to predict, in the order of the stretches, and the ids that stood there, both
    [M]. Special tokens are never chosen. The same stretch with the same key gets the same masks in
    any row. With `most` no sequence gets more than that, nor, of whole words, more than its share.
    """
    if len(stretches.sizes) > LINES:
        parts = stretches[:LINES], stretches[LINES:]
        found = [mask(row, part, masking, vocabulary, most) for part in parts]
        places, ids = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return places, ids
    tokens = Tokens(row, stretches)
    hidden = np.flatnonzero(chosen(tokens, masking, vocabulary, most))
    targets, labels = tokens.places[hidden], tokens.ids[hidden]
    row[targets] = _shown(tokens, hidden, masking, vocabulary)
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


def _shown(
    tokens: Tokens,
    hidden: NDArray[np.int64],
    masking: MaskingConfig,
    vocabulary: Vocabulary,
) -> NDArray[np.int64]:
    """What the model sees in place of the hidden tokens."""
    assert vocabulary.mask is not None, "checked when the dataset was opened"
    keys = bits(tokens.keys, [[1], [2]])[:, tokens.line[hidden]]
    kind, draw = tokens.counters[hidden].uniform(keys)
    random = vocabulary.regular_ids[(draw * len(vocabulary.regular_ids)).astype(np.int64)]
    shown = np.where(kind < masking.masked + masking.random, random, tokens.ids[hidden])
    return np.where(kind < masking.masked, vocabulary.mask, shown)
