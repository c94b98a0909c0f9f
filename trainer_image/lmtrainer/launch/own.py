"""A program of the user's own on this node, from the launcher's side: when it may start, what it
says, and when it is done. Caller: `node`, in its loop; nothing here blocks.

It starts at the leader's word, once the output folder is claimed; not at all if an earlier attempt
of the job saw its end. It is done when every process of every node has exited with 0: the leader
then copies the results, if they are to be, and leaves the record that proves it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from lmtrainer.config import CommandConfig
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.faults import HungRankError
from lmtrainer.launch.lines import Lines
from lmtrainer.launch.membership import Membership
from lmtrainer.launch.owner import Owner
from lmtrainer.launch.program import told
from lmtrainer.launch.verdict import Ending


class OwnProgram:
    """Begun with `start`."""

    def __init__(
        self, config: CommandConfig, node: NodeEnvironment, membership: Membership
    ) -> None:
        """UserError for an output that is nowhere."""
        self.variables: Mapping[str, str] = told(config, node)
        self._membership = membership
        self._patience = config.hang_seconds
        self._owner = Owner(config, node) if node.is_master else None
        self._lines = Lines(node) if node.is_master else None

    def start(self) -> None:
        if self._owner is not None:
            self._owner.start()

    @property
    def may_start(self) -> bool:
        """Nobody else writes to the output folder, and every node is told so."""
        return self._membership.start_needed is True

    @property
    def is_spared(self) -> bool:
        """It has ended well before, in an earlier attempt."""
        return self._membership.start_needed is False

    @property
    def fault(self) -> BaseException | None:
        """Why it must not go on."""
        return None if self._owner is None else self._owner.fault

    def look(self, *, last: bool = False) -> None:
        """On the leader: give the word once there is one, tell what the program says about its
        progress, and how far its results are copied."""
        if self._lines is None or self._owner is None:
            return
        if self._owner.claimed:
            self._membership.say(start_needed=not self._owner.ended_before)
        self._lines.look(time.time(), last=last)
        if self._owner.copied is not None:
            self._lines.copying(*self._owner.copied)

    def hang(self) -> HungRankError | None:
        """It told of its progress once, and has been silent for too long; known on the leader."""
        if self._lines is None or not self._patience:
            return None
        silence = self._lines.silence(time.time())
        if silence <= self._patience:
            return None
        step = self._lines.step
        return HungRankError(f"no line of progress for {silence:.0f} s, after step {step}", rank=0)

    def settled(self, endings: Sequence[Ending]) -> bool:
        """All processes of this node have ended: is nothing left to be done here?"""
        if any(ending.code != 0 for ending in endings):
            return True
        if not self.is_spared and not self._membership.conclude():
            return False
        return self._owner is None or self._owner.record()
