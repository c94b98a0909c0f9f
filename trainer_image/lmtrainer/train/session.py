"""One attempt at training on one rank: the phases in order, and back to a checkpoint when training
goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmtrainer import checkpoint
from lmtrainer.checkpoint import Checkpoint
from lmtrainer.config import RunConfig, config_hash, document, parse
from lmtrainer.contract.reports import Position
from lmtrainer.dataset import Prepared, TrainingRows
from lmtrainer.parallel.exchange import document_from_leader
from lmtrainer.parallel.world import World
from lmtrainer.stage import StageContext
from lmtrainer.train.around import Around
from lmtrainer.train.divergence import DivergedError
from lmtrainer.train.engine import Engine, EngineState
from lmtrainer.train.loop import PhaseWork, run_phase
from lmtrainer.train.memory import Memory, Origin, origin_of, put_back
from lmtrainer.train.recovery import Recovery, left_out
from lmtrainer.train.saving import Leader, Saving
from lmtrainer.train.sharing import sharing_of
from lmtrainer.train.state import (
    fill,
    put_back_moments,
    put_back_parts,
    put_back_weights,
    whole_model,
)


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where training begins or goes on."""

    at: Position
    engine: EngineState
    """Of the step before, if there is one in this phase."""
    checkpoint: Checkpoint | None = None
    """Rank 0's alone; None at the beginning."""
    folder: str = ""
    """Where it lies; empty at the beginning."""


class Session:
    """Carries one attempt through the phases."""

    def __init__(
        self,
        context: StageContext,
        world: World,
        prepared: Prepared,
        make: Callable[[], Any],
        leader: Leader | None,
        output: Path,
    ) -> None:
        """`make` makes the model with the weights that the run begins with; `output` is the folder
        of the run."""
        self.run: RunConfig = context.run
        self.context = context
        self.world = world
        self.prepared = prepared
        self.model = make()
        self._sharing = sharing_of(self.model, self.run, world)
        if not self._sharing.in_parts:
            self.model.to(world.device)  # a sharded one moves layer by layer
        self.leader = leader
        self.memory = Memory()
        self.saving = Saving(self.run, context.node, output, leader)
        self.recovery = Recovery(self.run)
        self._fresh = make
        self._index = 0

    def train(self, steps: tuple[int, ...], resumed: Checkpoint | None) -> Memory:
        """Run phase i for `steps[i]` steps, from where rank 0's checkpoint `resumed` stands.
        Returns what was remembered."""
        start = self._agree(resumed, steps)
        if start.folder:
            self._put_back_weights(start)
        while True:
            try:
                for index in range(start.at.phase_index, len(steps)):
                    self._phase(index, steps, start)
                return self.memory
            except DivergedError as fault:
                start = self._roll_back(fault, steps)

    def _agree(self, found: Checkpoint | None, steps: tuple[int, ...]) -> Start:
        """What rank 0's checkpoint tells, on every rank; all remember it from now on."""
        told = None
        if self.leader is not None:
            beginning = Position(phase_index=0, step=0, phase=self.run.phases[0].name)
            told = Origin(position=beginning)
            if found is not None:
                told = replace(origin_of(checkpoint.load_state(found)), folder=str(found.path))
        origin = parse(Origin, document_from_leader(self.world, document(told)))
        put_back(self.memory, origin)
        at = next_position(origin.position, steps, self.run)
        if at.phase_index != origin.position.phase_index:
            self.memory.begin_phase()
        return Start(at=at, engine=origin.engine, checkpoint=found, folder=origin.folder)

    def _phase(self, index: int, steps: tuple[int, ...], start: Start) -> None:
        phase, self._index = self.run.phases[index], index
        if index != start.at.phase_index:
            self.memory.begin_phase()
        first = start.at.step if index == start.at.phase_index else 0
        engine = Engine(self.model, self.run, self.world, phase_index=index)
        self.saving.attach(engine)
        if first:
            engine.put_back(start.engine)
            found, folder = start.checkpoint, start.folder
            put_back_moments(engine, found, folder, updates=start.engine.updates)
        rows = TrainingRows(self.prepared, self.run, index)
        if self.leader is not None:
            self.leader.telemetry.begin_phase(phase.name, sum(steps[:index]) + first)
        skipped, world = self.memory.skipped, self.world
        work = PhaseWork(
            phase=phase,
            index=index,
            start=first,
            steps=steps[index],
            rows=lambda step: rows.micro_batches(step + skipped, world.rank, world.world_size),
            epoch=lambda step: rows.epoch(step + skipped),
        )
        run_phase(engine, work, self.run, Around(self, engine, work))

    def _roll_back(self, fault: DivergedError, steps: tuple[int, ...]) -> Start:
        """Take the last good checkpoint, or the beginning, and leave out what led here."""
        self.recovery.charge(self._index, fault)
        self.saving.finish()
        before = self.memory.skipped
        start = self._agree(self._last_good(fault), steps)
        self._put_back_weights(start)
        self.memory.rollbacks += 1
        if start.at.phase_index == self._index:
            self.memory.skipped = left_out(fault, before, start.at.step)
        if self.leader is not None:
            to = start.checkpoint.position if start.checkpoint is not None else None
            skipped, times = self.memory.skipped, self.memory.rollbacks
            self.leader.telemetry.rolled_back(to, start.at, fault, skipped=skipped, times=times)
        return start

    def _last_good(self, fault: DivergedError) -> Checkpoint | None:
        """Rank 0 finds the checkpoint."""
        if self.leader is None:
            return None
        root = self.leader.claim.folder / checkpoint.FOLDER
        until = Position(phase_index=self._index, step=fault.first)
        return checkpoint.newest(root, config_hash(self.run), until=until).checkpoint

    def _put_back_weights(self, start: Start) -> None:
        """Those of `start`. If ranks hold whole models, rank 0 tells the others when the next
        engine is made."""
        if self._sharing.in_parts and start.folder:
            put_back_parts(self.model, start.folder)
        elif start.checkpoint is not None:
            put_back_weights(self.model, start.checkpoint)
        elif self._sharing.in_parts or self.leader is not None:
            fill(self.model, self._fresh().state_dict())

    def whole_model(self) -> Any:
        """The trained model, on rank 0; all ranks call it."""
        if not self._sharing.in_parts:
            return self.model
        fresh = self._fresh() if self.leader is not None else None
        return whole_model(self.model, self.world, fresh)


def next_position(position: Position, steps: tuple[int, ...], run: RunConfig) -> Position:
    """Where to go on: behind the last step of a phase the next one begins."""
    index = position.phase_index
    if position.step < steps[index] or index + 1 == len(steps):
        return position
    return Position(phase_index=index + 1, step=0, phase=run.phases[index + 1].name)
