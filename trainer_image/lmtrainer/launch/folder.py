"""The node's own folder, from the launcher's side: made empty, announced, read, summed up."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from lmtrainer.contract import reports
from lmtrainer.contract.arguments import Stage
from lmtrainer.contract.command import PROGRESS_LINES
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.contract.reports import Announcement, Completion, Progress, Termination
from lmtrainer.progress.files import read_report, write_whole

_STALE = (
    reports.PROGRESS_FILE,
    reports.COMPLETION_FILE,
    reports.ANNOUNCEMENT_FILE,
    PROGRESS_LINES,
    "heartbeat-*",
    "error-*.json",
    "stack-*.txt",
)


def prepare_folder(folder: Path) -> None:
    """Make the folder; take away what an earlier attempt reported in it, and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in _STALE:
        for path in [*folder.glob(pattern), *folder.glob(pattern + ".tmp")]:
            path.unlink(missing_ok=True)


def announce(folder: Path, *, status_port: int, master_port: int) -> None:
    announcement = Announcement(pid=os.getpid(), status_port=status_port, master_port=master_port)
    write_whole(folder / reports.ANNOUNCEMENT_FILE, reports.dump(announcement))


def current_progress(
    node: NodeEnvironment, stage: Stage, heartbeats: Mapping[str, float]
) -> Progress:
    """The stage's progress as rank 0 reported it last, if it is here, and the ranks' signs of
    life."""
    try:
        text = read_report(Path(node.node_dir) / reports.PROGRESS_FILE)
        found = reports.load(Progress, text) if text else Progress()
    except (OSError, ValueError):
        found = Progress()
    return dataclasses.replace(
        found, job_uid=node.job_uid, attempt=node.attempt, stage=stage, heartbeats=heartbeats
    )


def read_completion(folder: Path) -> tuple[Completion | None, str]:
    """The completion record, or why there is none."""
    try:
        text = read_report(folder / reports.COMPLETION_FILE)
        if text is None:
            return None, f"rank 0 left no completion record ({reports.COMPLETION_FILE})"
        return reports.load(Completion, text), ""
    except (OSError, ValueError) as error:
        return None, f"the completion record cannot be read: {error}"


def read_error(folder: Path, rank: int) -> tuple[float | None, str, str]:
    """Unix time, message and class of a rank's error file, as far as it has them."""
    path = folder / reports.error_file(rank)
    try:
        text = read_report(path)
        if text is None:
            return None, "", ""
        at, found = path.stat().st_mtime, json.loads(text)["message"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, f"its error file cannot be read: {error}", ""
    if not isinstance(found, dict):
        return at, str(found), ""
    extra = found.get("extraInfo")
    exception = extra.get("exception", "") if isinstance(extra, dict) else ""
    return at, str(found.get("message", "")), str(exception)


def write_termination(path: str, termination: Termination) -> None:
    """Write the last word in place: /dev/termination-log is a mounted file, not to be replaced."""
    try:
        Path(path).write_text(reports.dump(termination), encoding="ascii")
    except OSError as error:
        print(f"lmtrainer: cannot write {path}: {error}", file=sys.stderr, flush=True)
