"""The learning rate that a user sees at each step."""

import pytest

from lmtrainer.config.phase import Phase, warmup_steps
from lmtrainer.optim.schedules import learning_rate


def phase(**fields):
    return Phase(name="main", steps=100, learning_rate=2.0, **fields)


def test_a_line_up_to_the_peak_then_a_line_down_to_zero():
    rates = [learning_rate(phase(warmup_steps=10), step, 100) for step in range(100)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(1.0)
    assert rates[10] == max(rates) == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(2.0 / 90)


def test_constant_stays_at_the_peak_after_the_warm_up():
    rates = [learning_rate(phase(warmup_steps=4, schedule="constant"), s, 100) for s in range(100)]
    assert rates[:5] == [0, 0.5, 1.0, 1.5, 2.0]
    assert set(rates[4:]) == {2.0}


def test_the_warm_up_is_a_tenth_unless_given():
    assert warmup_steps(phase(), 250) == 25
    assert warmup_steps(phase(warmup_steps=0), 250) == 0
    assert learning_rate(phase(warmup_steps=0), 0, 100) == 2.0


def test_half_a_cosine_down_to_the_final_rate():
    fields = {"warmup_steps": 10, "schedule": "cosine", "final_learning_rate": 0.2}
    rates = [learning_rate(phase(**fields), step, 100) for step in range(100)]
    assert rates[10] == 2.0
    assert rates[55] == pytest.approx(1.1)
    assert rates[99] == pytest.approx(0.2, abs=0.001)
    assert rates[11] - rates[10] > rates[55] - rates[54], "flat at both ends"


def test_a_line_ends_at_the_final_rate():
    rates = [
        learning_rate(phase(warmup_steps=0, final_learning_rate=1.0), step, 100)
        for step in range(100)
    ]
    assert rates[0] == 2.0
    assert rates[50] == pytest.approx(1.5)
    assert min(rates) > 1.0
