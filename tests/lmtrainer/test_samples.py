"""Samples cover the text: nothing lost, nothing twice, nothing too long."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lmtrainer.dataset.samples import Cut, samples

SIZES = st.lists(st.integers(1, 60), max_size=20)


def offsets(sizes):
    return np.cumsum([0, *sizes], dtype=np.int64)


def covered(table):
    return [
        (int(start), int(start + size))
        for start, size in zip(table.starts, table.sizes, strict=True)
    ]


@given(sizes=SIZES, length=st.integers(4, 30))
def test_mlm_cuts_each_document_into_the_fewest_nearly_equal_parts(sizes, length):
    table = samples(offsets(sizes), Cut(length, "mlm"))
    assert ((table.sizes + table.around) == table.sizes + 2).all()
    assert ((table.sizes + table.around) <= length).all()
    at = 0
    parts = iter(covered(table))
    for size in sizes:
        count = -(-size // (length - 2))
        mine = [next(parts) for _ in range(count)]
        assert mine[0][0] == at and mine[-1][1] == at + size
        assert all(a[1] == b[0] for a, b in itertools.pairwise(mine))
        lengths = [end - begin for begin, end in mine]
        assert max(lengths) - min(lengths) <= 1
        at += size
    assert next(parts, None) is None


@given(sizes=SIZES, length=st.integers(4, 30))
def test_clm_cuts_the_stream_into_blocks_and_keeps_the_tail(sizes, length):
    total = sum(sizes)
    table = samples(offsets(sizes), Cut(length, "clm"))
    expected = [(at, min(at + length, total)) for at in range(0, total, length)]
    if expected and expected[-1][1] - expected[-1][0] < 2:
        expected.pop()
    assert covered(table) == expected
    assert ((table.sizes + table.around) == table.sizes).all()


def test_a_large_table_is_made_at_once():
    table = samples(offsets([300] * 200_000), Cut(128, "mlm"))
    assert len(table) == 600_000
    assert int(table.sizes.sum()) == 60_000_000
