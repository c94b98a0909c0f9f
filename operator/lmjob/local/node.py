"""One node of a job on this machine: its launcher, and its end.

A node has ended when its launcher has ended and no process with its folder in the environment is
left: orphaned ranks would write into the same output folder as those of the next attempt.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmjob.core.observed import Replica, ReplicaState
from lmjob.local import nodefiles, probe, procs
from lmjob.local.nodefiles import Record
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import (
    ANNOUNCEMENT_FILE,
    PROGRESS_FILE,
    Announcement,
    Progress,
    Termination,
)


class Node:
    """A node that was started by this runner, or found."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.attempt, self.key = nodefiles.parse_name(folder.name)
        self._record = record
        self._launcher: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._kill_at: float | None = None
        self._gone = False
        self._word: Termination | None = None

    @classmethod
    def find(cls, folder: Path) -> Node | None:
        """The node of a folder that an earlier runner left; None if it was never begun."""
        record = nodefiles.find_record(folder)
        return cls(folder, record) if record is not None else None

    @classmethod
    def start(
        cls, folder: Path, argv: Sequence[str], env: Mapping[str, str], config: str, now: float
    ) -> Node:
        """Start the launcher of a new node. Must be called in the main thread: the launcher asks to
        die with the thread that started it."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / nodefiles.CONFIG_FILE).write_text(config)
        node = cls(folder, nodefiles.new_record(now))
        node._note()
        with (folder / nodefiles.LOG_FILE).open("wb") as log:
            node._launcher = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        node._note(process=procs.identify(node._launcher.pid))
        return node

    @property
    def uid(self) -> str:
        return self._record.uid

    @property
    def announcement(self) -> Announcement | None:
        """The ports of the launcher, once it listens."""
        found = nodefiles.read_report(Announcement, self.folder / ANNOUNCEMENT_FILE)
        process = self._record.process
        return found if found and process and found.pid == process.pid else None

    def progress(self) -> Progress | None:
        """As the launcher tells it, or as its ranks wrote it last."""
        announced = self.announcement
        told = probe.progress(announced.status_port) if announced and not self._gone else None
        return told or nodefiles.read_report(Progress, self.folder / PROGRESS_FILE)

    def look(self, now: float) -> Replica:
        """What can be seen of the node; ends what is overdue or orphaned on the way."""
        self._reap()
        if self._kill_at is not None and now >= self._kill_at:
            self.kill()
        state = self._state()
        return Replica(
            key=self.key,
            attempt=self.attempt,
            uid=self.uid,
            state=state,
            reason=self._reason(state),
            exit_code=self._record.exit_code,
            termination=self._word,
            created_at=self._record.created_at,
            disrupted=self._disrupted(),
        )

    def ask_to_end(self, kill_at: float) -> None:
        """SIGTERM to the launcher now, SIGKILL to all processes of the node at `kill_at`."""
        if self._kill_at is None:
            self._kill_at = kill_at
            if self._record.process is not None:
                procs.send(self._record.process, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all processes of the node."""
        if self._gone:
            return
        if self._launcher is not None and self._launcher.returncode is None:
            # Not reaped yet, so the id of its process group cannot be another's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._launcher.pid, signal.SIGKILL)
        for process in procs.of_node(self.folder):
            procs.send(process, signal.SIGKILL)

    def _reap(self) -> None:
        """Notice the end of the launcher, and of all that it left behind."""
        if self._gone or self._launcher_runs():
            return
        left = procs.of_node(self.folder)
        for process in left:
            procs.send(process, signal.SIGKILL)
        if not left:
            self._gone = True
            path = self.folder / nodefiles.TERMINATION_FILE
            self._word = nodefiles.read_report(Termination, path)

    def _launcher_runs(self) -> bool:
        if self._launcher is None:
            found = self._record.process
            return found is not None and procs.identify(found.pid) == found
        code = self._launcher.poll()
        if code is not None and self._record.exit_code is None:
            self._note(exit_code=code)
        return code is None

    def _state(self) -> ReplicaState:
        if self._gone:
            code = self._record.exit_code
            well = self._word is not None and self._word.exit_type == ExitType.SUCCEEDED.name
            return "succeeded" if code == 0 or (code is None and well) else "failed"
        if self._kill_at is not None or self._record.exit_code is not None:
            return "terminating"
        if not self._ready:
            announced = self.announcement
            self._ready = announced is not None and probe.is_ready(announced.status_port)
        return "ready" if self._ready else "starting"

    def _reason(self, state: ReplicaState) -> str:
        code = self._record.exit_code
        if state != "failed":
            return ""
        if code is None:
            return "its runner ended before it"
        return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def _disrupted(self) -> bool:
        """The runner ended before it, which is no fault of the job."""
        if self._launcher is not None or self._record.exit_code is not None:
            return False
        return self._word is None or self._word.exit_type == ExitType.INTERRUPTED.name

    def _note(self, **found: Any) -> None:
        """Complete the record, here and in the folder."""
        self._record = dataclasses.replace(self._record, **found)
        nodefiles.save_record(self.folder, self._record)
