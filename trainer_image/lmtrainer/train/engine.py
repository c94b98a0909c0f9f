"""One optimizer step: rows in, weights moved, numbers out. The same maths for any number of ranks,
any accumulation and any packing: gradients of summed losses are added up everywhere, then divided
once by the number of targets of the whole global batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmtrainer.config import RunConfig
from lmtrainer.dataset.batches import Batch
from lmtrainer.models.objective import Objective, to_device
from lmtrainer.models.precision import autocast
from lmtrainer.optim.build import build
from lmtrainer.optim.update import update
from lmtrainer.parallel.exchange import sums
from lmtrainer.parallel.gradients import without_exchange, wrap
from lmtrainer.parallel.world import World
from lmtrainer.randomness import derive


@dataclass(frozen=True)
class StepResult:
    """What one step did, over all ranks."""

    loss: float
    """Mean negative log-likelihood of a target, nats."""
    targets: int
    tokens: int
    """Real tokens of the global batch."""
    gradient_norm: float
    stop: bool
    """Some rank was asked to end."""


class Engine:
    """The model of a run with the optimizer of one phase."""

    def __init__(self, model: nn.Module, run: RunConfig, world: World, *, phase_index: int) -> None:
        self.model = model
        self.world = world
        self._run = run
        self._phase_index = phase_index
        self._module = wrap(Objective(model), world)
        self._settings = run.phases[phase_index].optimizer or run.optimizer
        self.optimizer = build(model, self._settings)

    def step(
        self, rows: Sequence[Batch], *, step: int, learning_rate: float, stop: bool
    ) -> StepResult:
        """Update number `step` (from 0) of the phase on this rank's rows, at least one.

        `stop` says that this rank was asked to end; all ranks hear of it in the result. Raises
        FloatingPointError before the update if the loss is not finite on any rank.
        """
        torch.manual_seed(derive(self._run.seed, self._phase_index, step, self.world.rank))
        loss = self._backward(rows)
        local = [
            float(loss),
            float(sum(len(row.labels) for row in rows)),
            float(sum(len(row.tokens) for row in rows)),
            float(stop),
        ]
        loss_sum, targets, tokens, stops = sums(self.world, local)
        if not math.isfinite(loss_sum):
            raise FloatingPointError(f"loss is {loss_sum}")
        norm = update(
            self.optimizer,
            self.model.parameters(),
            learning_rate=learning_rate,
            # Data parallelism averages over ranks; the sum over ranks is what is wanted.
            scale=self.world.world_size / targets,
            clip_norm=self._settings.clip_norm,
        )
        return StepResult(loss_sum / targets, int(targets), int(tokens), norm, stops > 0)

    def _backward(self, rows: Sequence[Batch]) -> Tensor:
        """Add up the gradients of all rows; ranks exchange them during the last one."""
        self.model.train()
        total = torch.zeros((), device=self.world.device)
        for index, row in enumerate(rows):
            last = index == len(rows) - 1
            with nullcontext() if last else without_exchange(self._module):
                with autocast(self._run, self.world.device):
                    loss = self._module(to_device(row, self.world.device))
                loss.backward()
            total += loss.detach()
        return total
