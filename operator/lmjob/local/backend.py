"""The local backend of `lmjob.reconcile`: replicas are processes, the memory is a file.

Called by `lmjob.local.run`, in the main thread only.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lmjob.core.environment import Place, node_environment, variables
from lmjob.core.events import Event
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed
from lmjob.core.plan.shapes import ReplicaKey, ReplicaPlan, StagePlan
from lmjob.core.report import Status
from lmjob.local.devices import VISIBLE, visible_devices
from lmjob.local.node import Node
from lmjob.local.nodefiles import CONFIG_FILE, TERMINATION_FILE, node_folders, node_name
from lmjob.local.store import Stored, state_folder, write
from lmjob.reconcile import Recalled
from lmtrainer.config import document
from lmtrainer.contract.arguments import launch_arguments
from lmtrainer.contract.environment import DIE_WITH_PARENT, surroundings
from lmtrainer.contract.reports import Progress

PROGRAM = (sys.executable, "-P", "-m", "lmtrainer")
"""What is started for each node, before the contract's arguments."""

HOST = "127.0.0.1"

PROGRESS_SECONDS = 0.25
"""Least time between two questions for progress."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audience:
    """Who hears of the job while it runs."""

    tell: Callable[[Event], None]
    show: Callable[[Status], None]
    started: Callable[[ReplicaKey], None]


class LocalBackend:
    """The replicas of one job on this machine. Nodes of a runner that was killed are asked to end
    as soon as they are found."""

    def __init__(
        self,
        output: Path,
        stored: Stored,
        *,
        claims: Mapping[str, str],
        audience: Audience,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.suspend = False
        self._output = output
        self._stored = stored
        self._claims = claims
        self._audience = audience
        self._program = tuple(program)
        self._progress: tuple[float, Progress | None] = (0.0, None)
        found = (Node.find(folder) for folder in node_folders(state_folder(output)))
        self._nodes = [node for node in found if node is not None]
        for node in self._nodes:
            node.ask_to_end(time.time() + stored.plan.grace_seconds)

    @property
    def memory(self) -> Memory:
        return self._stored.memory

    def recall(self) -> Recalled:
        return Recalled(self._stored.memory, self._stored.status)

    def observe(self, memory: Memory) -> Observed:
        now = time.time()
        return Observed(
            replicas=tuple(node.look(now) for node in self._nodes),
            progress=self._leaders_progress(memory, now),
            suspend=self.suspend,
        )

    def claim(self, before: Memory, after: Memory, status: Status) -> bool:
        if self._stored.memory != before:
            return False
        stored = dataclasses.replace(self._stored, memory=after, status=status)
        write(self._output, stored)
        self._stored = stored
        return True

    def create(self, memory: Memory, keys: Sequence[ReplicaKey]) -> None:
        stage = self._stored.plan.stage(memory.stage)
        for replica in stage.replicas:
            if replica.key in keys and self._node(memory.attempt, replica.key) is None:
                self._nodes.append(self._start(memory, stage, replica))
                self._audience.started(replica.key)

    def delete(self, uids: Sequence[str], grace_seconds: float) -> None:
        for node in self._nodes:
            if node.uid in uids:
                node.ask_to_end(time.time() + grace_seconds)

    def report(self, status: Status) -> None:
        self._stored = dataclasses.replace(self._stored, status=status)
        self._audience.show(status)

    def tell(self, told: Sequence[Event]) -> None:
        for event in told:
            self._audience.tell(event)

    def kill(self) -> None:
        """End every process of the job at once."""
        for node in self._nodes:
            node.kill()

    def _start(self, memory: Memory, stage: StagePlan, replica: ReplicaPlan) -> Node:
        plan = self._stored.plan
        folder = state_folder(self._output) / node_name(memory.attempt, replica.key)
        place = Place(
            master_addr=HOST,
            master_port=self._master_port(memory, stage, replica),
            status_port=0,
            node_dir=str(folder),
            termination_log=str(folder / TERMINATION_FILE),
            claims=self._claims,
        )
        node = node_environment(plan, stage, replica, memory.attempt, place)
        devices = visible_devices(plan, stage, replica, os.environ.get(VISIBLE))
        own = {DIE_WITH_PARENT: "1", VISIBLE: devices}
        env = {**surroundings(os.environ), **variables(replica, node), **own}
        argv = (*self._program, *launch_arguments(stage.name, str(folder / CONFIG_FILE)))
        config = json.dumps(document(plan.run), indent=1) + "\n"
        return Node.start(folder, argv, env, config, time.time())

    def _master_port(self, memory: Memory, stage: StagePlan, replica: ReplicaPlan) -> int:
        """Where the others find the leader; the leader itself takes a free port."""
        leader = self._node(memory.attempt, stage.leader.key)
        if replica == stage.leader or leader is None or leader.announcement is None:
            return 0
        return leader.announcement.master_port

    def _leaders_progress(self, memory: Memory, now: float) -> Progress | None:
        if memory.attempt and now >= self._progress[0] + PROGRESS_SECONDS:
            stage = self._stored.plan.stage(memory.stage)
            leader = self._node(memory.attempt, stage.leader.key)
            self._progress = (now, leader.progress() if leader else None)
        return self._progress[1]

    def _node(self, attempt: int, key: ReplicaKey) -> Node | None:
        return next((n for n in self._nodes if (n.attempt, n.key) == (attempt, key)), None)
