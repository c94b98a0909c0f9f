"""Makes the state of training durable without holding training up. The hooks of a phase call this
on every rank; rank 0 alone writes, unless each holds a part of the state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lmtrainer import checkpoint
from lmtrainer.checkpoint import BackgroundSaver, Checkpoint, Snapshot, State
from lmtrainer.config import RunConfig, config_hash, document
from lmtrainer.contract.environment import NodeEnvironment
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

    def __init__(
        self, run: RunConfig, node: NodeEnvironment, output: Path, leader: Leader | None
    ) -> None:
        """`output` is the folder of the run, as this node sees it."""
        self._run = run
        self._node = node
        self._output = output
        self._leader = leader
        self._saver = BackgroundSaver()

    def attach(self, engine: Engine) -> None:
        """From now on the engine changes nothing that is still to be copied."""
        engine.before_update = self._saver.staged

    def save(self, engine: Engine, position: Position, memory: Memory, *, wait: bool) -> None:
        """Save in the background what training has come to; `wait` until it is durable. All ranks
        call it."""
        state = State(
            position=position,
            job_uid=self._node.job_uid,
            attempt=self._node.attempt,
            config_hash=config_hash(self._run),
            world_size=engine.world.world_size,
            tokens_seen=memory.tokens_seen,
            epoch=memory.epoch,
            held_out_loss=memory.held_out_at(position.step),
            trainer={**document(engine.state), **document(trainer_state(memory))},
        )
        snapshot = take(engine, state)
        if self._leader is not None or snapshot.part is not None:
            self._tell(self._saver.begin(snapshot, self._write))
        if wait:
            self.finish()

    def poll(self) -> None:
        """Tell of a checkpoint that has become durable; raise what a save in the background met."""
        self._tell(self._saver.poll())

    def finish(self) -> None:
        """Wait for the save in flight."""
        self._tell(self._saver.finish())

    def _write(self, snapshot: Snapshot) -> Checkpoint | None:
        """Runs in the thread of the saver."""
        root = self._output / checkpoint.FOLDER
        if self._leader is None:
            checkpoint.contribute(root, snapshot)
            return None
        self._leader.telemetry.before_save()
        keep = self._run.checkpoint.keep
        return checkpoint.save(root, snapshot, keep=keep, fence=self._leader.claim.fence)

    def _tell(self, saved: Checkpoint | None) -> None:
        if saved is not None and self._leader is not None:
            self._leader.telemetry.saved(saved.position)
