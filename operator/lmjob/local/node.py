"""One node of a job on this machine: its folder, its launcher, and its end.

    <output>/.lmjob/<attempt>-<role>-<index>/
        record.json        who was started, written before the start and completed after it
        config.json        the run's configuration
        log.txt            what the launcher and its ranks print
        announcement.json, progress.json, termination.json ...   see `lmtrainer.contract.reports`

A node has ended when its launcher has ended and no process with its folder in the environment is
left: orphaned ranks would write into the same output folder as those of the next attempt.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from lmjob.core.observed import Replica, ReplicaState
from lmjob.core.plan.shapes import ReplicaKey, Role
from lmjob.local import probe, procs
from lmjob.local.store import replace
from lmtrainer.config import document, parse
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import (
    ANNOUNCEMENT_FILE,
    PROGRESS_FILE,
    Announcement,
    Progress,
    Termination,
    load,
)

CONFIG_FILE = "config.json"
LOG_FILE = "log.txt"
RECORD_FILE = "record.json"
TERMINATION_FILE = "termination.json"

_NAME = re.compile(rf"(?P<attempt>[1-9]\d*)-(?P<role>{'|'.join(get_args(Role))})-(?P<index>\d+)")


@dataclass(frozen=True, kw_only=True)
class Record:
    """record.json. pid 0: the start was intended, and nobody knows whether it came to it."""

    uid: str
    created_at: float
    process: procs.ProcessId | None = None
    exit_code: int | None = None
    """As its parent, the runner, saw it; left out if that was killed before."""


def node_name(attempt: int, key: ReplicaKey) -> str:
    return f"{attempt}-{key.role}-{key.index}"


def node_folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if _NAME.fullmatch(path.name))


class Node:
    """A node that was started by this runner, or found."""

    def __init__(self, folder: Path, record: Record) -> None:
        match = _NAME.fullmatch(folder.name)
        assert match is not None
        self.folder = folder
        self.attempt = int(match["attempt"])
        self.key = ReplicaKey(cast(Role, match["role"]), int(match["index"]))
        self._record = record
        self._launcher: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._kill_at: float | None = None
        self._gone = False
        self._word: Termination | None = None

    @classmethod
    def find(cls, folder: Path) -> Node | None:
        """The node of a folder that an earlier runner left; None if it was never begun."""
        text = _read(folder / RECORD_FILE)
        if text is None:
            return None
        try:
            record = parse(Record, json.loads(text))
        except ValueError:  # cut by a power failure, which nothing of the node outlived
            record = Record(uid=os.urandom(8).hex(), created_at=0.0)
        return cls(folder, record)

    @classmethod
    def start(
        cls, folder: Path, argv: Sequence[str], env: Mapping[str, str], config: str, now: float
    ) -> Node:
        """Start the launcher of a new node. Must be called in the main thread: the launcher asks to
        die with the thread that started it."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / CONFIG_FILE).write_text(config)
        node = cls(folder, Record(uid=os.urandom(8).hex(), created_at=now))
        node._write_record()
        with (folder / LOG_FILE).open("wb") as log:
            node._launcher = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = procs.identify(node._launcher.pid)
        node._record = dataclasses.replace(node._record, process=process)
        node._write_record()
        return node

    @property
    def uid(self) -> str:
        return self._record.uid

    @property
    def announcement(self) -> Announcement | None:
        """The ports of the launcher, once it listens."""
        text = _read(self.folder / ANNOUNCEMENT_FILE)
        process = self._record.process
        try:
            found = load(Announcement, text) if text else None
        except ValueError:
            return None
        return found if found and process and found.pid == process.pid else None

    def progress(self) -> Progress | None:
        """As the launcher tells it, or as its ranks wrote it last."""
        announced = self.announcement
        told = probe.progress(announced.status_port) if announced and not self._gone else None
        return told or probe.read_progress(_read(self.folder / PROGRESS_FILE))

    def look(self, now: float) -> Replica:
        """What can be seen of the node; ends what is overdue or orphaned on the way."""
        self._reap()
        if self._kill_at is not None and now >= self._kill_at:
            self.kill()
        word = self._word
        state = self._state(word)
        return Replica(
            key=self.key,
            attempt=self.attempt,
            uid=self.uid,
            state=state,
            reason=self._reason(state),
            exit_code=self._record.exit_code,
            termination=word,
            created_at=self._record.created_at,
            disrupted=self._disrupted(word),
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
            self._word = _last_word(self.folder)

    def _launcher_runs(self) -> bool:
        if self._launcher is None:
            found = self._record.process
            return found is not None and procs.identify(found.pid) == found
        code = self._launcher.poll()
        if code is not None and self._record.exit_code is None:
            self._record = dataclasses.replace(self._record, exit_code=code)
            self._write_record()
        return code is None

    def _state(self, word: Termination | None) -> ReplicaState:
        if self._gone:
            code = self._record.exit_code
            well = word is not None and word.exit_type == ExitType.SUCCEEDED.name
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

    def _disrupted(self, word: Termination | None) -> bool:
        """The runner ended before it, which is no fault of the job."""
        if self._launcher is not None or self._record.exit_code is not None:
            return False
        return word is None or word.exit_type == ExitType.INTERRUPTED.name

    def _write_record(self) -> None:
        replace(self.folder / RECORD_FILE, json.dumps(document(self._record)) + "\n")


def _last_word(folder: Path) -> Termination | None:
    text = _read(folder / TERMINATION_FILE)
    try:
        return load(Termination, text) if text else None
    except ValueError:
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
