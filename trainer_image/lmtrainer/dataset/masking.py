"""The masks of the masked objective: functions of seed, phase, epoch and place in the text.

Called by `dataset.batches`. The rule is BERT's (Devlin et al., arXiv 1810.04805): a share of the
tokens is predicted, of which most are shown as [MASK], some as a random token and the rest as they
are. Exactly the share of each sequence is taken, so that every sequence counts.
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
    chosen = _lowest(candidates, bits(stretches.keys[:, None], counters), masking.share)
    targets = places[chosen]
    labels = row[targets]
    which = np.nonzero(chosen)[0]
    row[targets] = _shown(labels, stretches.keys[which], counters[chosen], masking, vocabulary)
    return targets, labels


def _lowest(
    candidates: NDArray[np.bool_], hashes: NDArray[np.uint64], share: float
) -> NDArray[np.bool_]:
    """In each line, the share of the candidates with the lowest hashes; at least one, if any."""
    hashes = np.where(candidates, hashes, _LAST)
    total = candidates.sum(axis=1)
    count = np.maximum(np.rint(share * total).astype(np.int64), 1)
    if not hashes.shape[1]:
        return candidates
    limit = np.take_along_axis(np.sort(hashes, axis=1), count[:, None] - 1, axis=1)
    return candidates & (hashes <= limit)


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
