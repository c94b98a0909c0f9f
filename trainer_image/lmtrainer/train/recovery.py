"""After training has gone wrong: how often it may go back, and how far on it then begins.

Every rank holds one and gives the same answers. Going back to a checkpoint is charged to a budget;
a checkpoint behind the step that went wrong proves that the place is past, and renews the budget.
"""

from __future__ import annotations

from lmtrainer.config import RunConfig
from lmtrainer.contract.reports import Position
from lmtrainer.faults import UserError
from lmtrainer.train.divergence import DivergedError
from lmtrainer.train.memory import Memory


class Recovery:
    """The budget of one attempt."""

    def __init__(self, run: RunConfig) -> None:
        self._run = run
        self._spent = 0
        self._worst = (0, 0)

    def charge(self, phase_index: int, fault: DivergedError) -> None:
        """Count one more roll-back. UserError if there were enough."""
        most = self._run.divergence.max_rollbacks
        if self._spent >= most:
            raise UserError(self._failure(phase_index, fault)) from None
        self._spent += 1
        self._worst = max(self._worst, (phase_index, fault.last + 1))

    def saved(self, position: Position, memory: Memory) -> None:
        """A checkpoint was made while the loss was in order."""
        if memory.watch.streak == 0 and (position.phase_index, position.step) > self._worst:
            self._spent = 0

    def _failure(self, phase_index: int, fault: DivergedError) -> str:
        phase = self._run.phases[phase_index]
        place = f"phases[{phase_index}] ({phase.name}) step {fault.last + 1}"
        times = f" after {self._spent} roll-backs" if self._spent else ""
        return (
            f"{place}: {fault} at learning rate {fault.learning_rate:g}{times}; "
            "lower learningRate or raise warmupSteps"
        )


def left_out(fault: DivergedError, before: int, start: int) -> int:
    """Batches to leave out from step `start` on, so that the next one is that behind the last one
    that went wrong; `before` were left out until now."""
    return fault.last + 1 + before - start
