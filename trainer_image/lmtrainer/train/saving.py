"""Makes the state of training durable without holding training up. Rank 0 alone writes; the hooks
of a phase call this on every rank."""

from __future__ import annotations

from dataclasses import dataclass

from lmtrainer import checkpoint
from lmtrainer.checkpoint import BackgroundSaver, Checkpoint, Snapshot, State
from lmtrainer.config import RunConfig, config_hash, document
from lmtrainer.contract.reports import Position
from lmtrainer.output import Claim
from lmtrainer.train.engine import Engine
from lmtrainer.train.memory import Memory, trainer_state
from lmtrainer.train.state import take
from lmtrainer.train.telemetry import Telemetry


@dataclass(frozen=True)
class Leader:
    """What only rank 0 has: the right to write, and the voice."""

    claim: Claim
    telemetry: Telemetry


class Saving:
    """The checkpoints of one attempt."""

    def __init__(self, run: RunConfig, leader: Leader | None) -> None:
        self._run = run
        self._leader = leader
        self._saver = BackgroundSaver()

    def attach(self, engine: Engine) -> None:
        """From now on the engine changes nothing that is still to be copied."""
        engine.before_update = self._saver.staged

    def save(self, engine: Engine, position: Position, memory: Memory, *, wait: bool) -> None:
        """Save in the background what training has come to; `wait` until it is durable."""
        if self._leader is None:
            return
        claim = self._leader.claim
        state = State(
            position=position,
            job_uid=claim.job_uid,
            attempt=claim.attempt,
            config_hash=config_hash(self._run),
            world_size=engine.world.world_size,
            tokens_seen=memory.tokens_seen,
            trainer={**document(engine.state), **document(trainer_state(memory))},
        )
        self._tell(self._saver.begin(take(engine, engine.model, state), self._write))
        if wait:
            self.finish()

    def poll(self) -> None:
        """Tell of a checkpoint that has become durable; raise what a save in the background met."""
        self._tell(self._saver.poll())

    def finish(self) -> None:
        """Wait for the save in flight."""
        self._tell(self._saver.finish())

    def _write(self, snapshot: Snapshot) -> Checkpoint:
        """Runs in the thread of the saver."""
        assert self._leader is not None
        self._leader.telemetry.before_save()
        return checkpoint.save(
            self._leader.claim.folder / checkpoint.FOLDER,
            snapshot,
            keep=self._run.checkpoint.keep,
            fence=self._leader.claim.fence,
        )

    def _tell(self, saved: Checkpoint | None) -> None:
        if saved is not None and self._leader is not None:
            self._leader.telemetry.saved(saved.position)
