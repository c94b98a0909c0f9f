"""The state of training as a checkpoint keeps it, taken from an engine and put back into one.

There is little of it: random numbers, learning rates and the order of the data are functions of the
step, so weights, moments, a few numbers (`train.memory`) and the position say everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lmtrainer import checkpoint
from lmtrainer.checkpoint import Checkpoint, Part, Snapshot, State
from lmtrainer.parallel import sharding
from lmtrainer.parallel.world import World
from lmtrainer.train.engine import Engine


def take(engine: Engine, state: State) -> Snapshot:
    """Weights and moments, as they are until the next update, beside `state`; this rank's part of
    them where each saves its own. All ranks call it."""
    model, world = engine.model, engine.world
    moments = engine.sharing.moments(engine.optimizer)
    text = model.config.to_json_string(use_diff=False)  # type: ignore[operator, union-attr]
    if not engine.sharing.in_parts:
        weights = _detached(model.state_dict())
        return Snapshot(
            state=state, weights=weights, optimizer=_detached(moments), model_config=text
        )
    held, others = (sharding.pieces_of(t, world) for t in (_own(model), moments))
    part = Part(rank=world.rank, ranks=world.world_size, offsets={**held.offsets, **others.offsets})
    return Snapshot(
        state=state,
        weights=held.tensors,
        optimizer=others.tensors,
        model_config=text,
        part=part,
    )


def put_back_weights(model: nn.Module, found: Checkpoint) -> None:
    """Those of a checkpoint into a whole model. KeyError if one is missing."""
    fill(model, checkpoint.load_weights(found))


def put_back_moments(
    engine: Engine, found: Checkpoint | None, folder: str, *, updates: int
) -> None:
    """Give every rank the moments after so many updates of the phase. `found` is rank 0's
    checkpoint, which lies in `folder`."""
    tensors: dict[str, Tensor] | None = None
    if engine.sharing.in_parts:
        tensors = engine.sharing.room()
        checkpoint.read_into(Path(folder), tensors)
    elif found is not None:
        tensors = checkpoint.load_optimizer(found)
    engine.sharing.put_back(engine.optimizer, tensors, steps=updates)


def put_back_parts(model: nn.Module, folder: str) -> None:
    """This rank's part of the weights of the checkpoint in `folder` into a sharded model."""
    with torch.no_grad():
        checkpoint.read_into(Path(folder), _own(model))


def fill(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Weights into a model that is whole or sharded; names that share a tensor may stand for each
    other. KeyError if one is missing."""
    with torch.no_grad():
        for name, tensor in _own(model).items():
            sharding.copy_part(tensor, tensors[name])


def _own(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers of a model, each once."""
    own = {name for name, _ in model.named_parameters()} | {n for n, _ in model.named_buffers()}
    return {name: tensor for name, tensor in model.state_dict().items() if name in own}


def whole_model(model: nn.Module, world: World, fresh: nn.Module | None) -> nn.Module:
    """A sharded model put together, in `fresh`, on rank 0; a whole one is returned as it is. All
    ranks call it; only rank 0 has `fresh`."""
    tensors = sharding.whole(_own(model), world)
    if fresh is None:
        return model
    fill(fresh, tensors)
    return fresh


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}
