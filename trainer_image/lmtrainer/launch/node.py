"""The flow of a node: start its ranks, watch them, end them, and say why it ended.

Every wait is in one loop that looks each 50 ms; nothing in it blocks. What a signal does:

 - SIGTERM or SIGINT: SIGTERM to the ranks, once; SIGKILL after the grace period. The node ends as
   INTERRUPTED, unless the stage turns out to be proven done. A second signal changes nothing, so an
   impatient user cannot cut a save short; the pod's own grace period, or SIGKILL, still can.
 - SIGKILL of the launcher takes the ranks with it (`lifeline`).

A rank that ends with an error ends the node: the others get SIGTERM, and SIGKILL soon after. One
that ends because it was asked to (by a rank of another node that got a signal) leaves the others
the full grace period: rank 0 may still be saving.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lmtrainer.config import CommandConfig, Work
from lmtrainer.contract import reports
from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.environment import DIE_WITH_PARENT, NodeEnvironment, from_env
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Termination
from lmtrainer.launch import folder as folders
from lmtrainer.launch import hang, lifeline
from lmtrainer.launch.last_word import reason, termination
from lmtrainer.launch.membership import Membership
from lmtrainer.launch.own import OwnProgram
from lmtrainer.launch.ranks import Ranks
from lmtrainer.launch.settings import read_run
from lmtrainer.launch.signals import stop_on_signals
from lmtrainer.launch.sockets import listen, port_of
from lmtrainer.launch.status import Answer, serve
from lmtrainer.stage import StopRequest

POLL_SECONDS = 0.05
FAILURE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL of the ranks that are left when one failed."""
HANG_SECONDS = 2.0
"""The same when one hangs: the others wait for it, and have nothing that they could save."""
DEATH_SECONDS = 10.0
"""How long a process may take to die of SIGKILL; in vain when it hangs in the kernel."""
PULSE_SECONDS = 10.0
"""A loop that has not turned for so long is not healthy."""


def say(text: str) -> None:
    """A line of the launcher's own."""
    print(f"lmtrainer: {text}", file=sys.stderr, flush=True)


def run_node(
    stage: Stage, config_path: str, env: Mapping[str, str], command: Sequence[str] | None = None
) -> int:
    """Run a stage's part on this node and return the exit code. `command` starts one rank."""
    stop = stop_on_signals()
    if env.get(DIE_WITH_PARENT) == "1":
        lifeline.die_with(os.getppid())
    try:
        node = from_env(env)
    except ValueError as error:
        say(str(error))
        return ExitType.USER_ERROR.code
    own = (sys.executable, "-P", "-m", "lmtrainer", "rank", "--stage", stage)
    running = _Node(stage, node, command or (*own, "--config", config_path), stop)
    try:
        running.start(read_run(config_path), env)
        running.watch()
    except Exception as error:
        running.error = error
    finally:
        running.end()
    word = running.last_word()
    folders.write_termination(node.termination_log, word)
    say(f"node {node.node_rank} ended as {word.exit_type}" + reason(word))
    return ExitType[word.exit_type].code


class _Node:
    """A node while it runs. Its answers are given by threads, everything else by the main one."""

    def __init__(
        self, stage: Stage, node: NodeEnvironment, command: Sequence[str], stop: StopRequest
    ) -> None:
        self._stage = stage
        self._node = node
        self._folder = Path(node.node_dir)
        self._stop = stop
        self._ranks = Ranks(node, command)
        self._membership: Membership | None = None
        self._own: OwnProgram | None = None
        self._pulse = time.monotonic()
        self._kill_at: float | None = None
        self._interrupted = False
        self._patience = 0.0
        self.error: BaseException | None = None

    def start(self, run: Work, env: Mapping[str, str]) -> None:
        """Ports first, then the announcement, then the ranks of the master, then the store: ranks
        take seconds to import torch, and find it served when they come. A program of the user's own
        waits for the store, and for the leader's word that its output folder is claimed."""
        node = self._node
        folders.prepare_folder(self._folder)
        status = listen(node.master_addr, node.status_port, purpose="status port")
        if node.world_size > 1 or isinstance(run, CommandConfig):
            self._membership = Membership(node, gated=isinstance(run, CommandConfig))
            if isinstance(run, CommandConfig):
                self._own = OwnProgram(run, node, self._membership)
                env = {**env, **self._own.variables}
        master_port = self._membership.port if self._membership else node.master_port
        if self._stage == "train" and not isinstance(run, CommandConfig):
            self._patience = hang.limit(run.hang_seconds, node.world_size)
        threads = run.threads_per_process
        self._ranks.prepare(
            env, master_port=master_port, threads=threads if isinstance(threads, int) else None
        )
        serve(status, self._routes())
        folders.announce(self._folder, status_port=port_of(status), master_port=master_port)
        if node.is_master and self._own is None:
            self._ranks.start()
        if self._membership is not None:
            self._membership.start()
        if self._own is not None:
            self._own.start()

    def watch(self) -> None:
        """Return when every rank has ended, or is to be killed."""
        while not self._is_over():
            self._pulse = time.monotonic()
            self._ranks.poll()
            lifeline.reap_strangers(self._ranks.pids)
            if self._own is not None:
                self._own.look()
            if self._kill_at is None:
                self._go_on()
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Leave no process behind."""
        self._ranks.kill()
        deadline = time.monotonic() + DEATH_SECONDS
        while self._ranks.running and time.monotonic() < deadline:
            self._ranks.poll()
            time.sleep(POLL_SECONDS)
        self._ranks.drain()
        if self._own is not None:
            self._own.look(last=True)

    def last_word(self) -> Termination:
        """Why the node ended."""
        error = self.error
        if error is None and self._ranks.running:
            error = RuntimeError(f"ranks did not die within {DEATH_SECONDS:g} s after SIGKILL")
        return termination(
            self._node,
            self._stage,
            self._ranks.endings,
            interrupted=self._interrupted,
            error=error,
        )

    def _is_over(self) -> bool:
        if self._past_start and not self._ranks.running and self._settled():
            return True
        if self._kill_at is None:
            return False
        return not self._ranks.started or time.monotonic() >= self._kill_at

    @property
    def _past_start(self) -> bool:
        """The ranks run, or have run, or there is nothing left for them to do."""
        return self._ranks.started or (self._own is not None and self._own.is_spared)

    def _settled(self) -> bool:
        """No rank runs: is there nothing else to wait for?"""
        if self._own is None or self._kill_at is not None:
            return True
        return self._own.settled(self._ranks.endings)

    def _go_on(self) -> None:
        """Start the ranks when the group is there; begin the end when there is a reason."""
        seconds = self._time_to_end()
        if seconds is not None:
            self._ranks.ask_to_end()
            self._kill_at = time.monotonic() + seconds
        elif not self._past_start and self._may_start():
            self._ranks.start()

    def _may_start(self) -> bool:
        joined = self._membership is not None and self._membership.joined
        return joined and (self._own is None or self._own.may_start)

    def _time_to_end(self) -> float | None:
        """None while all is well; else how long the ranks that are left may take to end."""
        types = {ending.exit_type for ending in self._ranks.endings}
        if types - {ExitType.SUCCEEDED, ExitType.INTERRUPTED}:
            return FAILURE_SECONDS
        if self._stop.requested:
            self._interrupted = True
            return self._node.grace_seconds
        if ExitType.INTERRUPTED in types:
            return self._node.grace_seconds
        for part in (self._membership, self._own):
            if part is not None and part.fault is not None:
                self.error = part.fault
                return FAILURE_SECONDS
        self.error = self._hang()
        return HANG_SECONDS if self.error is not None else None

    def _hang(self) -> Exception | None:
        """A rank that has been silent for too long. Only training gives signs of life all along."""
        if self._own is not None:
            return self._own.hang() if self._ranks.running else None
        silent = self._ranks.silent(self._patience) if self._patience else {}
        if not silent:
            return None
        node = self._node
        return hang.verdict(
            silent,
            self._ranks.ask_for_stacks(),
            world_size=node.world_size,
            everybody=node.nnodes == 1,
        )

    def _routes(self) -> Mapping[str, Callable[[], Answer]]:
        return {
            reports.READY_PATH: lambda: _verdict(self._unready(), "ready"),
            reports.HEALTH_PATH: lambda: _verdict(self._unhealthy(), "healthy"),
            reports.PROGRESS_PATH: self._progress,
        }

    def _unready(self) -> str:
        if self._kill_at is not None or self._stop.requested:
            return "the node is ending"
        if self._membership is not None and (self._own is None or self._past_start):
            return self._membership.unready()
        return "" if self._ranks.started else "the ranks are not started yet"

    def _unhealthy(self) -> str:
        age = time.monotonic() - self._pulse
        return f"the launcher's loop has stood still for {age:.0f} s" if age > PULSE_SECONDS else ""

    def _progress(self) -> Answer:
        found = folders.current_progress(self._node, self._stage, self._ranks.heartbeats)
        return 200, reports.dump(found)


def _verdict(fault: str, well: str) -> Answer:
    return (503, fault) if fault else (200, well)
