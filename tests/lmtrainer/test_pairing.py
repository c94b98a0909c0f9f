"""Pairs of sentences are what the published rules make of any text, and lose none of it."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrainer.dataset import pairchunks
from lmtrainer.dataset.pairchunks import Drawing, Sentences
from lmtrainer.dataset.pairing import pairs


def sentences(shards):
    """Shards of documents of sizes of sentences."""
    begins, ends = [], [0]
    for documents in shards:
        sizes = list(itertools.chain(*documents))
        begins.append(np.cumsum([0, *sizes]).astype(np.uint64))
        ends += [ends[-1] + n for n in itertools.accumulate(map(sum, documents))]
    return Sentences(begins, np.array(ends))


def drawn(text, key=1, length=16, random=0.5, short=0.1):
    return np.concatenate(list(pairs(text, Drawing(key, length, random, short))))


def spans(shards):
    """(begin, end, document) of each sentence."""
    place, document = 0, 0
    for documents in shards:
        for sizes in documents:
            for size in sizes:
                yield place, place + size, document
                place += size
            document += 1


DOCUMENT = st.lists(st.integers(1, 40), min_size=1, max_size=9)
SHARDS = st.lists(st.lists(DOCUMENT, min_size=2, max_size=5), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(
    shards=SHARDS,
    key=st.integers(0, 2**64 - 1),
    length=st.integers(5, 40),
    random=st.sampled_from([0.0, 0.5, 1.0]),
    window=st.integers(1, 12),
)
def test_of_any_text(shards, key, length, random, window):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairchunks, "WINDOW", window)
        found = drawn(sentences(shards), key, length, random, 0.3)
    whole = drawn(sentences(shards), key, length, random, 0.3)
    assert (found == whole).all(), "a window is an affair of memory alone"
    all_spans = list(spans(shards))
    document_of = {}
    for begin, end, document in all_spans:
        document_of |= dict.fromkeys(range(begin, end), document)
    seen = set()
    for a_start, b_start, a_size, b_size, is_random in found.tolist():
        assert a_size >= 1 <= b_size
        assert a_size + b_size <= length - 3
        a, b = range(a_start, a_start + a_size), range(b_start, b_start + b_size)
        (of_a,) = {document_of[place] for place in a}
        (of_b,) = {document_of[place] for place in b}
        assert (of_a != of_b) if is_random else (of_a == of_b and b_start >= a_start + a_size)
        seen |= set(a) if is_random else {*a, *b}
    for begin, end, _ in all_spans:
        assert seen & set(range(begin, end)), "no sentence vanishes"


def of_google(  # noqa: C901 - as it is written there
    documents, rng, length, random_share, short_share
):
    """The rules of google-research/bert as written there, on sizes of sentences: (size of A, size
    of B, random) of every pair of one pass."""
    room = length - 3
    for number, document in enumerate(documents):
        target = room
        if rng.random() < short_share:
            target = int(rng.integers(2, room + 1))
        chunk, size, i = [], 0, 0
        while i < len(document):
            chunk.append(document[i])
            size += document[i]
            if i == len(document) - 1 or size >= target:
                cut = 1 if len(chunk) < 2 else int(rng.integers(1, len(chunk)))
                a, random = sum(chunk[:cut]), len(chunk) == 1 or rng.random() < random_share
                if random:
                    other = number
                    while other == number:
                        other = int(rng.integers(len(documents)))
                    b, wanted = 0, target - a
                    for j in range(int(rng.integers(len(documents[other]))), len(documents[other])):
                        b += documents[other][j]
                        if b >= wanted:
                            break
                    i -= len(chunk) - cut
                else:
                    b = sum(chunk[cut:])
                while a + b > room:
                    a, b = (a - 1, b) if a > b else (a, b - 1)
                yield a, b, random
                chunk, size = [], 0
            i += 1


@pytest.mark.parametrize("length", [32, 128])
def test_random_pairs_and_lengths_come_as_often_as_by_the_published_rules(length):
    rng = np.random.default_rng(0)
    documents = [
        np.clip(rng.lognormal(2.6, 0.6, rng.integers(1, 30)), 1, 90).astype(int).tolist()
        for _ in range(4000)
    ]
    theirs = np.array(list(of_google(documents, rng, length, 0.5, 0.1)))
    ours = drawn(sentences([documents[:1500], documents[1500:]]), length=length)
    assert len(ours) == pytest.approx(len(theirs), rel=0.02)
    assert ours["is_random"].mean() == pytest.approx(theirs[:, 2].mean(), abs=0.01)
    for mine, other in (("a_size", theirs[:, 0]), ("b_size", theirs[:, 1])):
        assert ours[mine].mean() == pytest.approx(other.mean(), rel=0.03)
    bins = np.linspace(0, length, 9)
    mine, _ = np.histogram(ours["a_size"] + ours["b_size"].astype(int), bins, density=True)
    other, _ = np.histogram(theirs[:, 0] + theirs[:, 1], bins, density=True)
    assert np.abs(mine - other).sum() * (bins[1] - bins[0]) < 0.04


def test_what_is_cut_off_is_cut_off_in_front_as_often_as_behind():
    found = drawn(sentences([[[300], [300], [9, 9]] * 2000]), random=1.0, length=23)
    first = found[found["a_start"] % 618 < 300]
    front = first["a_start"] % 618
    lost = 300 - first["a_size"].astype(int)
    assert front.mean() == pytest.approx(lost.mean() / 2, rel=0.02)
    assert front.std() == pytest.approx((lost.mean() / 4) ** 0.5, rel=0.1)


def test_another_key_pairs_otherwise_and_the_same_one_alike():
    text = sentences([[[5] * 20] * 50])
    assert (drawn(text, 1) == drawn(text, 1)).all()
    assert len(np.intersect1d(drawn(text, 1), drawn(text, 2))) < 0.2 * len(drawn(text, 1))


def test_memory_stays_flat():
    def peak(documents):
        text = sentences([[[7] * 30] * documents])
        tracemalloc.start()
        count = sum(len(found) for found in pairs(text, Drawing(1, 64, 0.5, 0.1)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return count, found

    few, small = peak(6_000)
    many, large = peak(24_000)
    assert many > 3.9 * few
    assert large < 1.2 * small
