"""Random numbers of the data path: fixed for ever, fair, and apart for every purpose."""

import numpy as np
import pytest

from lmtrainer.randomness import Purpose, bits, derive, uniform


def test_numbers_never_change_or_a_continued_run_would_see_other_data():
    assert derive(42, Purpose.ORDER, 0, 3) == 3393066366083545836
    assert bits(7, [0, 1, 2**40]).tolist() == [
        236966933211079599,
        12966676493058619558,
        15571614262464597054,
    ]
    assert uniform(7, 0)[0] == (236966933211079599 >> 11) / 2**53


def test_the_mixing_function_is_that_of_splitmix64():
    def mixed(state):
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        return state ^ state >> 31

    published = 0xE220A8397B1DCDAF  # the first number of the generator from seed 0
    assert mixed(0x9E3779B97F4A7C15) == published
    assert int(bits(0, 0)[0]) == mixed(published)
    assert int(bits(99, 0)[0]) == mixed(published ^ 99)


def test_a_number_depends_on_key_and_counter_only():
    alone = [int(bits(5, counter)[0]) for counter in range(100)]
    assert bits(5, np.arange(100)).tolist() == alone
    assert bits(5, np.arange(99, -1, -1)).tolist() == alone[::-1]


def test_an_array_of_keys_gives_what_each_key_gives():
    keys = np.array([1, 2, 2**64 - 1], dtype=np.uint64)
    together = bits(keys[:, None], np.arange(5))
    assert together.tolist() == [bits(int(key), np.arange(5)).tolist() for key in keys]


@pytest.mark.parametrize("key", [0, 1, 2**63])
def test_numbers_are_uniform_and_neighbours_independent(key):
    values = uniform(key, np.arange(200_000))
    assert values.min() >= 0 and values.max() < 1
    histogram = np.histogram(values, bins=100, range=(0, 1))[0]
    # chi-square with 99 degrees of freedom: above 160 once in 10,000 times
    assert ((histogram - 2000) ** 2 / 2000).sum() < 160
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(values, uniform(key + 1, np.arange(200_000)))[0, 1]) < 0.01


def test_every_bit_is_fair():
    numbers = bits(3, np.arange(100_000))
    ones = [float((numbers >> np.uint64(bit) & np.uint64(1)).mean()) for bit in range(64)]
    assert max(abs(share - 0.5) for share in ones) < 0.01


def test_keys_tell_every_part_its_place_and_their_number():
    keys = {derive(), derive(0), derive(0, 0), derive(1, 0), derive(0, 1), derive(2**64 - 1)}
    keys |= {derive(42, purpose) for purpose in Purpose}
    assert len(keys) == 6 + len(Purpose)
