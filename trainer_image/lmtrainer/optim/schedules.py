"""The learning rate as a function of the step; pure, so that nothing of it needs saving."""

from __future__ import annotations

import math

from lmtrainer.config.phase import Phase, warmup_steps


def learning_rate(phase: Phase, step: int, steps: int) -> float:
    """Rate of the update that follows `step` finished ones (0 <= step < steps): from 0 up to the
    peak at the end of the warm-up, in a line or as a root, then down to the final rate at `steps`
    in a line or half a cosine, or constant."""
    peak, warmup = phase.learning_rate, warmup_steps(phase, steps)
    if step < warmup:
        done = step / warmup
        return peak * (math.sqrt(done) if phase.warmup_shape == "sqrt" else done)
    if phase.schedule == "constant":
        return peak
    left = (steps - step) / (steps - warmup)
    if phase.schedule == "cosine":
        left = (1 - math.cos(math.pi * left)) / 2
    return phase.final_learning_rate + (peak - phase.final_learning_rate) * left
