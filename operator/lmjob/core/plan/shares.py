"""What one process holds of weights, gradients and moments, by the strategy of its group."""

from __future__ import annotations

from dataclasses import dataclass

from lmtrainer.config import RunConfig

# Bytes a parameter, where not those of float32.
_WEIGHT = {"bf16-true": 2, "fp16-true": 2}
_MOMENTS = {"bf16-true": 6}


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Bytes of one process."""

    weights: int
    gradients: int
    moments: int
    gathered: int
    """Weights and gradients of others that are there while they are needed."""
    copied: int
    """What rank 0 copies while it saves a checkpoint."""


def shares(run: RunConfig, *, parameters: int, layer: int, world_size: int) -> Shares:
    """`parameters` of the model, `layer` of them in each layer."""
    strategy = run.parallel.strategy if world_size > 1 else "ddp"
    weight, moment = _WEIGHT.get(run.precision, 4), _MOMENTS.get(run.precision, 8)
    part = 1 if strategy == "ddp" else world_size
    if strategy == "fsdp":
        outside = parameters - run.model.architecture().layers * layer
        return Shares(
            weights=weight * parameters // part,
            gradients=weight * parameters // part,
            moments=moment * parameters // part,
            # Of what is no layer, and of a layer beside the one that is fetched ahead.
            gathered=2 * weight * (outside + layer) + weight * layer,
            copied=(weight + moment) * parameters // part,
        )
    room = moment * parameters if part > 1 else 0
    return Shares(
        weights=weight * parameters,
        gradients=weight * parameters,
        moments=moment * parameters // part,
        gathered=0,
        copied=(weight + moment) * parameters + room,
    )
