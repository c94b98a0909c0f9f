"""What happens around the steps of one phase: signs of life, measurements, checkpoints, and the
look at the loss. Made by `train.session` for `train.loop`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lmtrainer.contract.reports import Position
from lmtrainer.dataset import EvaluationRows
from lmtrainer.dataset.batches import Batch
from lmtrainer.evaluate.measure import measure, unigram_losses
from lmtrainer.parallel.sharding import gathered
from lmtrainer.train.divergence import STEPS, DivergedError
from lmtrainer.train.engine import Engine, StepResult
from lmtrainer.train.loop import PhaseWork

if TYPE_CHECKING:
    from lmtrainer.train.session import Session


class Around:
    """The hooks of one phase."""

    def __init__(self, session: Session, engine: Engine, work: PhaseWork) -> None:
        self._session = session
        self._engine = engine
        self._work = work
        self._evaluation = EvaluationRows(session.prepared, session.run, work.index)
        self._unigram = unigram_losses(session.prepared.counts)

    def stop_requested(self) -> bool:
        return self._session.context.stop.requested

    def stepped(self, step: int, rate: float, result: StepResult) -> None:
        session = self._session
        session.memory.tokens_seen += result.tokens
        session.memory.epoch = self._work.epoch(step - 1)
        session.context.reports.heartbeat()
        session.saving.poll()
        if session.leader is not None:
            session.leader.telemetry.stepped(self._position(step), rate, result)
        self._watch(step, rate, result.loss)

    def evaluate(self, step: int) -> None:
        world = self._session.world
        engine = self._engine
        rows = self._alive(
            engine.sharing.evaluated(self._evaluation.rows(world.rank, world.world_size))
        )
        with gathered(engine.model):
            totals = measure(engine.model, rows, self._session.run, world, self._unigram)
        self._session.memory.held_out = (step, totals.joint_loss)
        if self._session.leader is not None:
            self._session.leader.telemetry.measured(self._position(step), totals)

    def _alive(self, rows: Iterator[Batch]) -> Iterator[Batch]:
        """Give a sign of life at each row."""
        for row in rows:
            self._session.context.reports.heartbeat()
            yield row

    def save(self, step: int, *, wait: bool) -> None:
        session = self._session
        session.saving.save(self._engine, self._position(step), session.memory, wait=wait)
        session.recovery.saved(self._position(step), session.memory)

    def _watch(self, step: int, rate: float, loss: float) -> None:
        memory = self._session.memory
        memory.watch = memory.watch.after(loss, self._session.run.divergence.spike_deviations)
        if memory.watch.has_spiked:
            reason = f"loss {loss:.4g} is a spike above a median of {memory.watch.median:.4g}"
            raise DivergedError(reason, first=step - STEPS, last=step - 1, learning_rate=rate)

    def _position(self, step: int) -> Position:
        phase = self._work.phase.name
        return Position(phase_index=self._work.index, step=step, phase=phase)
