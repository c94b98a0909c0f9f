"""The order of samples: every one each epoch, the same on any number of processes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.order import Order, deal
from lmtrainer.dataset.schedule import even


def stream(order, steps):
    parts = [order.at(step) for step in steps]
    numbers = np.concatenate([numbers for numbers, _ in parts])
    return numbers, np.concatenate([epochs for _, epochs in parts])


@given(samples=st.integers(1, 50), batch=st.integers(1, 120), seed=st.integers(0, 2**63 - 1))
def test_every_epoch_has_every_sample_once(samples, batch, seed):
    steps = -(-3 * samples // batch)
    numbers, epochs = stream(Order(seed, 0, Epochs((samples,)), even(batch)), range(steps))
    for epoch in range(3):
        assert sorted(numbers[epochs == epoch]) == list(range(samples))
    assert (np.diff(epochs) >= 0).all()


def test_a_step_is_the_same_whatever_was_asked_before():
    order = Order(7, 1, Epochs((1000,)), even(64))
    first = [order.at(step)[0].tolist() for step in range(50)]
    again = [
        Order(7, 1, Epochs((1000,)), even(64)).at(step)[0].tolist() for step in reversed(range(50))
    ]
    assert first == again[::-1]


def test_seed_phase_and_epoch_each_change_the_order():
    def epoch(seed, phase, number):
        numbers, _ = Order(seed, phase, Epochs((500,)), even(500)).at(number)
        return tuple(numbers)

    orders = [epoch(*key) for key in itertools.product((1, 2), (0, 1), (0, 1))]
    assert len(set(orders)) == 8


def test_the_shuffle_is_fair():
    places = np.array([Order(seed, 0, Epochs((10,)), even(10)).at(0)[0] for seed in range(4000)])
    for number in range(10):
        share = (places == number).mean(axis=0)
        assert np.abs(share - 0.1).max() < 0.025


LENGTHS = st.lists(st.integers(1, 512), min_size=1, max_size=200)


@given(lengths=LENGTHS, processes=st.integers(1, 9), rows=st.integers(1, 6))
def test_every_sequence_is_dealt_once_in_rows_of_even_size(lengths, processes, rows):
    dealt = deal(np.array(lengths), processes, rows)
    assert len(dealt) == processes
    everything = sorted(int(i) for process in dealt for row in process for i in row)
    assert everything == list(range(len(lengths)))
    sizes = [len(row) for process in dealt for row in process]
    assert max(sizes) <= -(-len(lengths) // (processes * rows))
    assert max(sizes) - min(sizes) <= 1
    if len(lengths) >= processes:
        assert all(dealt)


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_processes_and_rows_get_nearly_equal_tokens(processes):
    lengths = np.random.default_rng(0).integers(2, 128, 768)
    rows = [row for process in deal(lengths, processes, 4) for row in process]
    tokens = [int(lengths[row].sum()) for row in rows]
    assert max(tokens) - min(tokens) <= 16
    shares = [
        sum(int(lengths[row].sum()) for row in process) for process in deal(lengths, processes, 4)
    ]
    assert max(shares) - min(shares) <= 16
