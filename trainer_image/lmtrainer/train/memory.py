"""What a run remembers from step to step beside weights, moments and the position, on every rank
alike; it goes into checkpoints and comes back out of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lmtrainer.checkpoint import State
from lmtrainer.config import parse
from lmtrainer.contract.reports import Position, known_part
from lmtrainer.train.divergence import Watch
from lmtrainer.train.engine import EngineState


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """The part of `State.trainer` that is not the engine's."""

    skipped: int = 0
    rollbacks: int = 0
    losses: tuple[float, ...] = ()
    streak: int = 0


@dataclass
class Memory:
    """Of one attempt; changed by its steps."""

    epoch: int = 0
    """Of the phase, in which the last step began."""

    tokens_seen: int = 0
    skipped: int = 0
    """Batches of the phase that are left out, because training went wrong on them."""
    rollbacks: int = 0
    """Over the whole run."""
    held_out: tuple[int, float] | None = None
    """Step of the phase that was measured last, and its loss."""
    watch: Watch = dataclasses.field(default_factory=Watch)

    def held_out_at(self, step: int) -> float | None:
        """The held-out loss of a step, if it was measured there and is a number."""
        if self.held_out is None or self.held_out[0] != step:
            return None
        return self.held_out[1] if math.isfinite(self.held_out[1]) else None

    def begin_phase(self) -> None:
        """Another phase has other batches and other losses."""
        self.skipped, self.held_out, self.watch = 0, None, Watch()


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where training goes on, as rank 0 tells all others."""

    position: Position
    folder: str = ""
    """Of the checkpoint; empty at the beginning."""
    tokens_seen: int = 0
    engine: EngineState = dataclasses.field(default_factory=EngineState)
    trainer: TrainerState = dataclasses.field(default_factory=TrainerState)


def origin_of(state: State) -> Origin:
    """Out of the state of a checkpoint; what older software did not know has its default."""
    plain: Mapping[str, Any] = dict(state.trainer)
    return Origin(
        position=state.position,
        tokens_seen=state.tokens_seen,
        engine=parse(EngineState, known_part(EngineState, plain)),
        trainer=parse(TrainerState, known_part(TrainerState, plain)),
    )


def trainer_state(memory: Memory) -> TrainerState:
    return TrainerState(
        skipped=memory.skipped,
        rollbacks=memory.rollbacks,
        losses=memory.watch.losses,
        streak=memory.watch.streak,
    )


def put_back(memory: Memory, origin: Origin) -> None:
    """Remember what was known at `origin`."""
    memory.tokens_seen = origin.tokens_seen
    memory.skipped = origin.trainer.skipped
    memory.rollbacks = max(memory.rollbacks, origin.trainer.rollbacks)
    memory.watch = Watch(losses=origin.trainer.losses, streak=origin.trainer.streak)
