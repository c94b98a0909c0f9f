"""Masks: the asked share of every sequence, BERT's 80/10/10, never a special token."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrainer.config.masking import MaskingConfig
from lmtrainer.dataset import masking as module
from lmtrainer.dataset.choosing import Stretches
from lmtrainer.dataset.masking import mask
from lmtrainer.randomness import derive
from lmtrainer.vocab import Vocabulary

SPECIAL = np.arange(5)
WORDS = Vocabulary(
    size=1000, cls=2, sep=3, mask=4, special_ids=SPECIAL, regular_ids=np.arange(5, 1000)
)
BERT = MaskingConfig()
TEXT = np.random.default_rng(0).integers(5, 1000, 1_000_000)


def row_of(stretches, text=TEXT, key=1):
    """A row of ([CLS] text [SEP]) for each (start, size)."""
    parts = [[2, *text[start : start + size], 3] for start, size in stretches]
    lengths = np.array([len(part) for part in parts])
    return np.concatenate(parts).astype(np.int64), Stretches(
        places=np.cumsum(lengths) - lengths + 1,
        sizes=lengths - 2,
        starts=np.array([start for start, _ in stretches]),
        keys=np.full(len(parts), key, dtype=np.uint64),
    )


def masked(stretches, masking=BERT, **options):
    row, places = row_of(stretches, **options)
    before = row.copy()
    targets, labels = mask(row, places, masking, WORDS)
    return before, row, targets, labels, places


EQUAL = [(start, 126) for start in range(0, 900_000, 126)]


def test_one_token_in_seven_is_predicted_and_most_are_hidden():
    before, after, targets, labels, places = masked(EQUAL)
    assert len(targets) / places.sizes.sum() == pytest.approx(0.15, abs=0.001)
    shown = after[targets]
    kept = 1 / 995  # a random token may be the right one
    assert (shown == 4).mean() == pytest.approx(0.8, abs=0.005)
    assert (shown == labels).mean() == pytest.approx(0.1 + 0.1 * kept, abs=0.005)
    others = shown[(shown != 4) & (shown != labels)]
    assert len(others) / len(shown) == pytest.approx(0.1, abs=0.005)
    assert others.min() >= 5
    histogram = np.bincount(others, minlength=1000)[5:]
    assert histogram.max() < 4 * histogram.mean()
    assert (before[targets] == labels).all()
    untouched = np.ones(len(after), dtype=bool)
    untouched[targets] = False
    assert (before[untouched] == after[untouched]).all()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    share=st.sampled_from([0.01, 0.15, 0.5, 0.9]),
    key=st.integers(0, 2**64 - 1),
    specials=st.floats(0, 1),
)
def test_every_sequence_has_exactly_its_share_and_no_special_token(sizes, share, key, specials):
    text = TEXT[:1000].copy()
    text[np.random.default_rng(key % 1000).random(1000) < specials] = 4
    stretches = [(start, size) for start, size in zip(range(0, 1000, 50), sizes, strict=False)]
    before, _, targets, labels, places = masked(
        stretches, MaskingConfig(share=share), text=text, key=key
    )
    assert (labels >= 5).all()
    assert (np.diff(targets) > 0).all()
    for place, size in zip(places.places, places.sizes, strict=True):
        regular = int((before[place : place + size] >= 5).sum())
        chosen = int(((targets >= place) & (targets < place + size)).sum())
        assert chosen == (max(1, round(share * regular)) if regular else 0)


def test_masks_are_the_same_in_any_row_and_any_order():
    stretches = [(126 * n, 20 + 7 * n) for n in range(9)]

    def seen(order):
        _, after, targets, labels, places = masked([stretches[n] for n in order])
        answers = dict(zip(targets.tolist(), labels.tolist(), strict=True))
        found = {}
        for n, place, size in zip(
            order, places.places.tolist(), places.sizes.tolist(), strict=True
        ):
            hidden = {t - place: answers[t] for t in answers if place <= t < place + size}
            found[n] = (after[place : place + size].tolist(), hidden)
        return found

    together = seen(range(9))
    assert together == seen([8, 3, 5, 0, 1, 7, 2, 6, 4])
    for n in range(9):
        assert seen([n])[n] == together[n]


def test_another_key_gives_other_masks_and_places_are_picked_evenly():
    picked = np.zeros(126)
    rows = set()
    for epoch in range(2000):
        _, _, targets, _, _ = masked([(0, 126)], key=derive(1, epoch))
        picked[targets - 1] += 1
        rows.add(tuple(targets))
    assert len(rows) == 2000
    assert picked.min() > 0.75 * 0.15 * 2000
    assert picked.max() < 1.25 * 0.15 * 2000


def test_shares_can_be_set():
    always = MaskingConfig(share=0.3, masked=1.0, random=0.0)
    _, after, targets, _, places = masked(EQUAL[:500], always)
    assert len(targets) / places.sizes.sum() == pytest.approx(0.3, abs=0.005)
    assert (after[targets] == 4).all()
    never = MaskingConfig(masked=0.0, random=0.0)
    before, after, *_ = masked(EQUAL[:500], never)
    assert (before == after).all()


def test_a_row_without_a_regular_token_predicts_nothing():
    _, _, targets, labels, _ = masked([(0, 3)], text=np.full(10, 4))
    assert len(targets) == len(labels) == 0


def test_a_row_of_more_sequences_than_are_sorted_at_once_is_masked_alike(monkeypatch):
    once = masked(EQUAL[:50])
    monkeypatch.setattr(module, "LINES", 7)
    again = masked(EQUAL[:50])
    assert all((a == b).all() for a, b in zip(once[1:4], again[1:4], strict=True))


@pytest.mark.parametrize("most", [None, 5])
@pytest.mark.parametrize("whole_words", [False, True])
def test_a_row_of_very_different_lengths_is_masked_as_its_parts(whole_words, most):
    sizes = [3] * 30 + [400, 7, 1, 300] + [12] * 20
    stretches = [(500 * number, size) for number, size in enumerate(sizes)]
    words = dataclasses.replace(WORDS, continues=np.arange(1000) >= 700)
    masking = MaskingConfig(whole_words=whole_words)
    row, places = row_of(stretches)
    targets, labels = mask(row, places, masking, words, most)
    assert (np.diff(targets) > 0).all()
    begin = 0
    for stretch in stretches:
        alone, place = row_of([stretch])
        mine, ids = mask(alone, place, masking, words, most)
        inside = (targets >= begin) & (targets < begin + len(alone))
        assert (targets[inside] - begin).tolist() == mine.tolist()
        assert labels[inside].tolist() == ids.tolist()
        assert row[begin : begin + len(alone)].tolist() == alone.tolist()
        begin += len(alone)
