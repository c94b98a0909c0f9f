"""Rows 46, 47, 50 to 52 and 54: what is hidden from the model, and how much of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lmtrainer.config.masking import MaskingConfig
from lmtrainer.dataset.choosing import Stretches
from lmtrainer.dataset.masking import capped, mask, most_predictions
from lmtrainer.vocab import Vocabulary

MASK, FIRST, PART, SIZE = 4, 5, 600, 1000
"""Ids from 5 on are words, from 600 on parts that continue one."""

WORDS = Vocabulary(
    size=SIZE,
    cls=2,
    sep=3,
    mask=MASK,
    special_ids=np.arange(FIRST),
    regular_ids=np.arange(FIRST, SIZE),
    continues=np.arange(SIZE) >= PART,
)
LENGTH = 126
TEXT = np.random.default_rng(0).integers(FIRST, SIZE, 10_000 * LENGTH)


def hidden(seed: int = 1, lines: int = 10_000, **settings: Any) -> tuple[NDArray[Any], ...]:
    """Text before and after, and what is to be predicted, of rows without special tokens."""
    starts = np.arange(lines) * LENGTH
    row = TEXT[: lines * LENGTH].copy()
    stretches = Stretches(
        places=starts,
        sizes=np.full(lines, LENGTH),
        starts=starts,
        keys=np.full(lines, seed, dtype=np.uint64),
    )
    targets, labels = mask(row, stretches, MaskingConfig(**settings), WORDS)
    return TEXT[: lines * LENGTH], row, targets, labels


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_row_047_no_word_is_hidden_in_part(seed: int) -> None:
    before, _, targets, _ = hidden(seed, whole_words=True)
    chosen = np.zeros(len(before), dtype=bool)
    chosen[targets] = True
    begins = (before < PART) | (np.arange(len(before)) % LENGTH == 0)
    words = np.cumsum(begins)
    sizes, parts = np.bincount(words), np.bincount(words, weights=chosen)
    assert set(np.unique(parts[sizes > 0])) > {0.0, 2.0}
    assert ((parts == 0) | (parts == sizes)).all()
    assert len(targets) / len(before) == pytest.approx(0.15, abs=0.001)


@pytest.mark.parametrize("whole_words", [False, True])
def test_row_050_of_the_hidden_ones_80_10_10(whole_words: bool) -> None:
    before, after, targets, labels = hidden(whole_words=whole_words)
    assert len(targets) / len(before) == pytest.approx(0.15, abs=0.001)
    shown = after[targets]
    lucky = 0.1 / (SIZE - FIRST)
    assert (shown == MASK).mean() == pytest.approx(0.8, abs=0.005)
    assert (shown == labels).mean() == pytest.approx(0.1 + lucky, abs=0.005)
    assert ((shown != MASK) & (shown != labels)).mean() == pytest.approx(0.1 - lucky, abs=0.005)


def test_row_051_the_share_is_what_was_asked_for() -> None:
    once, twice = (len(hidden(share=share)[2]) for share in (0.15, 0.3))
    assert twice / once == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("whole_words", [False, True])
def test_row_052_special_tokens_are_never_hidden(whole_words: bool) -> None:
    row = TEXT[:LENGTH].copy()
    row[::7] = 3
    stretches = Stretches(*(np.array([n]) for n in (0, LENGTH, 0)), np.array([1], dtype=np.uint64))
    targets, _ = mask(row, stretches, MaskingConfig(share=0.9, whole_words=whole_words), WORDS)
    assert not set(targets) & set(range(0, LENGTH, 7))


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("most", [3, 20, 100])
def test_row_046_never_more_than_the_budget_is_hidden(most: int, whole_words: bool) -> None:
    lines = 2000
    row = TEXT[: lines * LENGTH].copy()
    starts = np.arange(lines) * LENGTH
    stretches = Stretches(
        starts, np.full(lines, LENGTH), starts, np.full(lines, 1, dtype=np.uint64)
    )
    masking = MaskingConfig(whole_words=whole_words, max_predictions=most)
    targets, _ = mask(row, stretches, masking, WORDS, most_predictions(masking, LENGTH))
    counts = np.bincount(targets // LENGTH, minlength=lines)
    budget = min(most, max(1, round(0.15 * LENGTH)))
    assert counts.max() <= budget
    assert counts.mean() >= budget - (0.2 if whole_words else 0)


def test_row_054_the_cap_is_mean_and_two_deviations_in_sixteens() -> None:
    assert (capped(128, 0.15), capped(512, 0.15)) == (32, 96)
    assert most_predictions(MaskingConfig(max_predictions="auto"), 128) == 32
    assert capped(8, 0.5) == 8, "no more than there is"
    for whole_words in (False, True):
        masking = MaskingConfig(share=0.3, max_predictions="auto", whole_words=whole_words)
        most = most_predictions(masking, LENGTH)
        row, starts = TEXT[: 3000 * LENGTH].copy(), np.arange(3000) * LENGTH
        keys = np.full(3000, 1, dtype=np.uint64)
        stretches = Stretches(starts, np.full(3000, LENGTH), starts, keys)
        targets, _ = mask(row, stretches, masking, WORDS, most)
        assert np.bincount(targets // LENGTH).max() <= capped(LENGTH, 0.3)
