"""One attempt at training on one rank: the phases in order, and what happens around their steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lmtrainer import checkpoint
from lmtrainer.checkpoint import Checkpoint, State
from lmtrainer.config import RunConfig, config_hash, document, parse
from lmtrainer.contract.reports import Position, known_part
from lmtrainer.dataset import EvaluationRows, Prepared, TrainingRows
from lmtrainer.evaluate.measure import measure, unigram_losses
from lmtrainer.output import Claim
from lmtrainer.parallel.exchange import document_from_leader
from lmtrainer.parallel.world import World
from lmtrainer.stage import StageContext
from lmtrainer.train.engine import Engine, EngineState, StepResult
from lmtrainer.train.loop import PhaseWork, run_phase
from lmtrainer.train.state import put_back_moments, take
from lmtrainer.train.telemetry import Telemetry


@dataclass(frozen=True)
class Leader:
    """What only rank 0 has: the right to write, and the voice."""

    claim: Claim
    telemetry: Telemetry


class Session:
    """Carries one attempt through the phases."""

    def __init__(
        self,
        context: StageContext,
        world: World,
        prepared: Prepared,
        model: Any,
        leader: Leader | None,
    ) -> None:
        self.run: RunConfig = context.run
        self.context = context
        self.world = world
        self.prepared = prepared
        self.model = model
        self.leader = leader
        self.tokens_seen = 0

    def train(self, steps: tuple[int, ...], start: Position, resumed: Checkpoint | None) -> None:
        """Run phase i for `steps[i]` steps, from `start` on. `resumed` is rank 0's checkpoint; the
        model has its weights already."""
        if resumed is not None:
            self.tokens_seen = checkpoint.load_state(resumed).tokens_seen
        for index in range(start.phase_index, len(steps)):
            first = start.step if index == start.phase_index else 0
            self._phase(index, first, steps, resumed)

    def _phase(
        self, index: int, first: int, steps: tuple[int, ...], resumed: Checkpoint | None
    ) -> None:
        phase = self.run.phases[index]
        engine = Engine(self.model, self.run, self.world, phase_index=index)
        if first:
            moments = checkpoint.load_optimizer(resumed) if resumed is not None else None
            put_back_moments(engine, moments, steps=self._put_back(engine, resumed))
        rows = TrainingRows(self.prepared, self.run, index)
        if self.leader is not None:
            self.leader.telemetry.begin_phase(phase.name, sum(steps[:index]) + first)
        work = PhaseWork(
            phase=phase,
            index=index,
            start=first,
            steps=steps[index],
            rows=lambda step: rows.micro_batches(step, self.world.rank, self.world.world_size),
        )
        run_phase(engine, work, self.run, _Around(self, engine, work))

    def _put_back(self, engine: Engine, resumed: Checkpoint | None) -> int:
        """Give every rank what the engine of rank 0's checkpoint remembered; returns its number of
        updates."""
        told = None
        if resumed is not None:
            told = known_part(EngineState, dict(checkpoint.load_state(resumed).trainer))
        state = parse(EngineState, document_from_leader(self.world, told))
        engine.put_back(state)
        return state.updates


class _Around:
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
        self._session.tokens_seen += result.tokens
        self._session.context.reports.heartbeat()
        if self._session.leader is not None:
            self._session.leader.telemetry.stepped(self._position(step), rate, result)

    def evaluate(self, step: int) -> None:
        world = self._session.world
        rows = self._evaluation.rows(world.rank, world.world_size)
        totals = measure(self._engine.model, rows, self._session.run, world, self._unigram)
        if self._session.leader is not None:
            self._session.leader.telemetry.measured(self._position(step), totals)

    def save(self, step: int) -> None:
        leader = self._session.leader
        if leader is None:
            return
        leader.telemetry.before_save()
        run = self._session.run
        state = State(
            position=self._position(step),
            job_uid=leader.claim.job_uid,
            attempt=leader.claim.attempt,
            config_hash=config_hash(run),
            world_size=self._session.world.world_size,
            tokens_seen=self._session.tokens_seen,
            trainer=document(self._engine.state),
        )
        checkpoint.save(
            leader.claim.folder / checkpoint.FOLDER,
            take(self._engine, self._engine.model, state),
            keep=run.checkpoint.keep,
            fence=leader.claim.fence,
        )
        leader.telemetry.saved(state.position)

    def _position(self, step: int) -> Position:
        phase = self._work.phase.name
        return Position(phase_index=self._work.index, step=step, phase=phase)
