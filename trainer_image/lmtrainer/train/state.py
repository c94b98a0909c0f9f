"""The state of training as a checkpoint keeps it, taken from an engine and put back into one.

There is little of it: random numbers, learning rates and the order of the data are functions of the
step, so weights, moments and the position say everything.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lmtrainer.checkpoint import Snapshot, State
from lmtrainer.optim import moments
from lmtrainer.parallel.exchange import tensors_from_leader
from lmtrainer.train.engine import Engine


def take(engine: Engine, model: nn.Module, state: State) -> Snapshot:
    """Weights and moments, as they are until the next step, beside `state`."""
    return Snapshot(
        state=state,
        weights=_detached(model.state_dict()),
        optimizer=_detached(moments.state_tensors(engine.optimizer, model)),
        model_config=model.config.to_json_string(use_diff=False),  # type: ignore[operator, union-attr]
    )


def put_back_moments(engine: Engine, tensors: Mapping[str, Tensor] | None, *, steps: int) -> None:
    """Give every rank the moments after `steps` updates of the phase. Rank 0 passes what its
    checkpoint holds, the others None; weights travel when the engine is made."""
    model = engine.model
    if tensors is None:
        shapes = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        tensors = {
            f"{n}.{moment}": zeros for n, zeros in shapes.items() for moment in moments.MOMENTS
        }
    moments.restore(engine.optimizer, model, tensors, steps=steps)
    found = moments.state_tensors(engine.optimizer, model)
    tensors_from_leader(engine.world, (found[name] for name in sorted(found)))


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}
