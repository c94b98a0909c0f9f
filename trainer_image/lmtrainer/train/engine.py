"""One optimizer step: rows in, weights moved, numbers out. The same maths for any number of ranks,
any accumulation and any packing: gradients of summed losses are added up everywhere, then divided
once by the number of targets of the whole global batch. Pairs of sentences have a number of their
own, so its ratio to the other is exchanged before the first backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lmtrainer.config import RunConfig
from lmtrainer.config.phase import Phase
from lmtrainer.dataset.batches import Batch
from lmtrainer.models.compiled import compile_parts
from lmtrainer.models.memory import spare
from lmtrainer.models.objective import Objective, pair_parameters, to_device
from lmtrainer.models.precision import autocast
from lmtrainer.optim.scaling import LossScale
from lmtrainer.optim.update import update
from lmtrainer.parallel.exchange import sums
from lmtrainer.parallel.gradients import filler
from lmtrainer.parallel.world import World
from lmtrainer.randomness import derive
from lmtrainer.train.sharing import sharing_of


@dataclass(frozen=True)
class StepResult:
    """What one step did, over all ranks."""

    loss: float
    """What is minimised, nats: the mean over targets, and with pairs also the mean over those."""
    targets: int
    tokens: int
    """Real tokens of the global batch."""
    gradient_norm: float
    stop: bool
    """Some rank was asked to end."""
    pairs: PairResult | None = None
    """Of a batch of pairs of sentences."""
    loss_scale: float = 1.0
    skipped: bool = False
    """The gradients were not finite at this scale of the loss, and moved nothing."""


@dataclass(frozen=True)
class PairResult:
    """The parts of the loss of a batch of pairs, and how often the model was right."""

    words_loss: float
    """Mean negative log-likelihood of a target, nats."""
    loss: float
    """The same of a pair's label."""
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class EngineState:
    """What an engine remembers beside weights and moments; as a checkpoint keeps it."""

    updates: int = 0
    """Steps that moved the weights."""
    loss_scale: float = 1.0
    good_steps: int = 0


class Engine:
    """The model of a run with the optimizer of one phase."""

    def __init__(self, model: nn.Module, run: RunConfig, world: World, *, phase_index: int) -> None:
        self.model = model
        self.world = world
        self._run = run
        self._phase_index = phase_index
        self._pairs = run.objective_of(run.phases[phase_index]) == "mlm+nsp"
        _forget_gradients(model)
        for parameter in pair_parameters(model):
            # Else they would wait for a gradient for ever. Of a sharded model these are the parts;
            # torch does the same with what it gathers of them.
            parameter.requires_grad_(self._pairs)
        spare(model, run)
        if run.torch_compile:
            compile_parts(model)
        objective = Objective(model, chunks=run.loss_chunks)
        self.sharing = sharing_of(model, run, world)
        self._module = self.sharing.module(objective, pairs=self._pairs)
        self._settings = run.phases[phase_index].optimizer or run.optimizer
        seed = derive(run.seed, phase_index)
        self.optimizer = self.sharing.optimizer(self._settings, seed=seed)
        self._parameters = list(model.parameters())
        self._updates = 0
        self._scale = _first_scale(run)
        self._expected = _expected_targets(run, run.phases[phase_index])
        self.before_update: Callable[[], None] = _at_once
        """Called when gradients are there and weights and moments are about to change."""

    @property
    def state(self) -> EngineState:
        return EngineState(
            updates=self._updates,
            loss_scale=self._scale.value,
            good_steps=self._scale.good_steps,
        )

    def put_back(self, state: EngineState) -> None:
        """Go on as after the step that `state` was taken behind; moments are put back apart."""
        self._updates = state.updates
        self._scale = LossScale(self._scale.kind, state.loss_scale, state.good_steps)

    def step(
        self, rows: Sequence[Batch], *, step: int, learning_rate: float, stop: bool
    ) -> StepResult:
        """Update number `step` (from 0) of the phase on this rank's rows, at least one.

        `stop` says that this rank was asked to end; all ranks hear of it in the result. Raises
        FloatingPointError before the update if loss or gradients are not finite on any rank, and
        no other scale of the loss would help.
        """
        torch.manual_seed(derive(self._run.seed, self._phase_index, step, self.world.rank))
        factor = self._scale.value / self._expected
        losses = self._backward(rows, self._pair_weight(rows), factor)
        local = [*losses.tolist(), *_counts(rows), float(stop)]
        words, pair_loss, right, targets, pairs, tokens, stops = sums(self.world, local)
        if not math.isfinite(words + pair_loss):
            raise FloatingPointError(f"loss is {words + pair_loss}")
        self.before_update()
        # Data parallelism averages over ranks; the sum over ranks is what is wanted.
        count = max(targets, 1.0)  # ready-made instances may have nothing to predict
        norm = self._update(learning_rate, self.world.world_size / count / factor)
        loss = words / count + (pair_loss / pairs if pairs else 0.0)
        result = StepResult(
            loss,
            int(targets),
            int(tokens),
            norm,
            stops > 0,
            loss_scale=factor * self._expected,
            skipped=not math.isfinite(norm),
        )
        if pairs:
            parts = PairResult(words / count, pair_loss / pairs, right / pairs)
            result = replace(result, pairs=parts)
        return result

    def rehearse(self, length: int) -> None:
        """Compute the gradients of a row of one sequence, and forget them: whatever is made when it
        is needed first is there behind it."""
        self._backward([filler((length,), pairs=self._pairs)], 1.0, 1.0)
        _forget_gradients(self.model)

    def _update(self, learning_rate: float, scale: float) -> float:
        """Move the weights and the scale of the loss; returns the norm of the gradients."""
        upper = 0.0
        if self._scale.kind == "histogram":
            upper = self.sharing.upper_share()
        norm = update(
            self.optimizer,
            self._parameters,
            learning_rate=learning_rate,
            scale=scale,
            clip_norm=self._settings.clip_norm,
        )
        self.sharing.updated()
        self._scale = self._scale.after(finite=math.isfinite(norm), upper_share=upper)
        self._updates += math.isfinite(norm)
        return norm

    def _pair_weight(self, rows: Sequence[Batch]) -> float:
        """Targets over pairs of the global batch, which are two means of one sum."""
        if not self._pairs:
            return 0.0
        targets, pairs, _ = sums(self.world, _counts(rows))
        return max(targets, 1.0) / pairs

    def _backward(self, rows: Sequence[Batch], pair_weight: float, factor: float) -> Tensor:
        """Add up the gradients of all rows, times `factor`; ranks exchange them during the last
        one. Returns summed losses of targets and of pairs, and how many pairs were right [3]."""
        if not self.model.training:  # a walk through all modules, on which a GPU would wait
            self.model.train()
        total = torch.zeros(3, device=self.world.device)
        for index, (row, counts) in enumerate(self.sharing.rows(rows, pairs=self._pairs)):
            last = index == len(rows) - 1
            with nullcontext() if last else self.sharing.adding_up():
                with autocast(self._run, self.world.device):
                    found = self._module(to_device(row, self.world.device), pair_weight)
                weight = factor if counts else 0.0
                scaled = found.total if weight == 1.0 else found.total * weight
                scaled.backward()  # type: ignore[no-untyped-call]
            if counts:
                total += torch.stack([found.words, found.pairs, found.right])
        return total


def _counts(rows: Sequence[Batch]) -> list[float]:
    """Targets, pairs and tokens."""
    return [
        float(sum(len(row.labels) for row in rows)),
        float(sum(len(row.pair_labels) for row in rows if row.pair_labels is not None)),
        float(sum(len(row.tokens) for row in rows)),
    ]


def _forget_gradients(model: nn.Module) -> None:
    """Those of a step that went wrong would be added to, those of another phase counted."""
    for parameter in model.parameters():
        parameter.grad = None


def _at_once() -> None:
    """Nobody needs the weights as they are."""


def _first_scale(run: RunConfig) -> LossScale:
    kind = run.loss_scale.type
    assert kind is not None, "the plan resolves it"
    return LossScale(kind) if kind == "none" else LossScale(kind, run.loss_scale.initial)


def _expected_targets(run: RunConfig, phase: Phase) -> float:
    """About the targets of a global batch, so that a scale of the loss means that of a mean, as
    users of other trainers know it: a power of two, by which nothing is rounded. 1 if unscaled."""
    if run.loss_scale.type == "none":
        return 1.0
    share = run.masking.share if run.objective_of(phase) != "clm" else 1.0
    targets = phase.global_batch_size * phase.sequence_length * share
    return float(2.0 ** round(math.log2(targets)))
