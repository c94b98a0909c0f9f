"""The learning rate as a function of the step; pure, so that nothing of it needs saving."""

from __future__ import annotations

from lmtrainer.config.phase import Phase
from lmtrainer.config.phase import warmup_steps as warmup_steps


def learning_rate(phase: Phase, step: int, steps: int) -> float:
    """Rate of the update that follows `step` finished ones (0 <= step < steps): a line from 0 up to
    the peak at the end of the warm-up, then a line down to 0 at `steps`, or constant."""
    warmup = warmup_steps(phase, steps)
    if step < warmup:
        return phase.learning_rate * step / warmup
    if phase.schedule == "constant":
        return phase.learning_rate
    return phase.learning_rate * (steps - step) / (steps - warmup)
