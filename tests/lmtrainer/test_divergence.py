"""What counts as gone wrong, and how often a run may go back."""

from __future__ import annotations

import random

import pytest

from lmtrainer.contract.reports import Position
from lmtrainer.faults import UserError
from lmtrainer.train.divergence import FEWEST, STEPS, WINDOW, DivergedError, Watch
from lmtrainer.train.memory import Memory, Origin, TrainerState, put_back
from lmtrainer.train.recovery import Recovery, left_out


def after(losses: list[float], deviations: float = 10.0, watch: Watch | None = None) -> Watch:
    watch = watch or Watch()
    for loss in losses:
        watch = watch.after(loss, deviations)
    return watch


def noisy(count: int, middle: float = 3.0) -> list[float]:
    draw = random.Random(1)
    return [middle + draw.gauss(0, 0.1) for _ in range(count)]


def test_a_leap_that_lasts_is_a_spike_and_one_odd_batch_is_not() -> None:
    calm = after(noisy(WINDOW))
    assert not after([9.0] * (STEPS - 1), watch=calm).has_spiked
    assert after([9.0] * STEPS, watch=calm).has_spiked
    assert not after([9.0] * (STEPS - 1) + [3.0] + [9.0] * (STEPS - 1), watch=calm).has_spiked
    assert not after([9.0] * STEPS, 0.0, calm).has_spiked, "0 is never"


def test_noise_falling_losses_and_slow_rises_are_no_spikes() -> None:
    for losses in (
        noisy(5000),
        [10 / (1 + step / 20) + 0.05 * (step % 3) for step in range(500)],
        [2.0 + step / 1000 for step in range(1000)],
        [10.0] * 3 + [2.0] * 300 + [2.1] * 300,
    ):
        watch = Watch()
        for loss in losses:
            watch = watch.after(loss, 10.0)
            assert not watch.has_spiked


def test_the_first_losses_are_not_judged() -> None:
    assert not after([1.0] * (FEWEST - 1) + [99.0] * STEPS).has_spiked
    assert after([1.0] * FEWEST + [99.0] * STEPS).has_spiked


def fault(first: int, last: int) -> DivergedError:
    return DivergedError("loss is nan", first=first, last=last, learning_rate=0.1)


def test_the_budget_is_for_one_place_and_is_renewed_behind_it(run_config) -> None:
    recovery = Recovery(run_config(divergence={"maxRollbacks": 2}))
    for _ in range(2):
        recovery.charge(0, fault(7, 7))
        recovery.saved(Position(phase_index=0, step=6), Memory())
    with pytest.raises(UserError, match=r"phases\[0\] \(main\) step 8: loss is nan.*2 roll-backs"):
        recovery.charge(0, fault(7, 7))
    recovery.saved(Position(phase_index=0, step=9), Memory(watch=Watch(streak=1)))
    with pytest.raises(UserError):
        recovery.charge(0, fault(9, 9))
    recovery.saved(Position(phase_index=0, step=9), Memory())
    recovery.charge(0, fault(9, 9))


def test_batches_are_left_out_up_to_the_one_that_went_wrong() -> None:
    assert left_out(fault(7, 7), 0, 4) == 4, "steps 4 to 7: step 4 takes batch 8 now"
    assert left_out(fault(5, 5), 4, 4) == 6, "batches 4 to 9: step 4 takes batch 10"


def test_who_goes_back_knows_how_often_and_otherwise_what_was_known_there() -> None:
    """The checkpoint was made before the roll-back that leads to it, and does not tell of it."""
    then = TrainerState(rollbacks=1, skipped=3, losses=(2.0, 1.5), streak=2)
    origin = Origin(position=Position(phase_index=0, step=9), tokens_seen=70, trainer=then)
    memory = Memory(rollbacks=4, skipped=8, tokens_seen=99, watch=Watch(losses=(9.0,)))
    put_back(memory, origin)
    assert (memory.rollbacks, memory.skipped, memory.tokens_seen) == (4, 3, 70)
    assert memory.watch == Watch(losses=(2.0, 1.5), streak=2)
    fresh = Memory()
    put_back(fresh, origin)
    assert fresh.rollbacks == 1


def test_another_phase_leaves_out_nothing_and_has_losses_of_its_own() -> None:
    memory = Memory(
        rollbacks=2, skipped=8, tokens_seen=99, held_out=(5, 1.0), watch=Watch(streak=1)
    )
    memory.begin_phase()
    assert memory == Memory(rollbacks=2, tokens_seen=99)
