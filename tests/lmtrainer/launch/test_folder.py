"""The node's own folder: what an earlier attempt left in it tells nothing of this one."""

from __future__ import annotations

import json
from pathlib import Path

from lmtrainer.contract import reports
from lmtrainer.contract.command import PROGRESS_LINES
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.launch.folder import current_progress, prepare_folder, read_completion, read_error

REPORTS = (
    reports.PROGRESS_FILE,
    reports.COMPLETION_FILE,
    reports.ANNOUNCEMENT_FILE,
    reports.error_file(3),
    reports.heartbeat_file(3),
    reports.stack_file(3),
    PROGRESS_LINES,
)


def test_what_an_earlier_attempt_reported_goes_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    prepare_folder(folder)
    others = {"config.json", "log.txt", "errors.json"}
    for name in (*REPORTS, *(f"{name}.tmp" for name in REPORTS), *others):
        (folder / name).write_text("{}")
    prepare_folder(folder)
    assert {path.name for path in folder.iterdir()} == others


def test_reports_that_cannot_be_read_are_told_as_such(tmp_path: Path) -> None:
    node = NodeEnvironment(job_uid="j", attempt=2, node_dir=str(tmp_path))
    assert read_error(tmp_path, 0) == (None, "", "")
    assert "left no completion record" in read_completion(tmp_path)[1]
    for name in (reports.error_file(0), reports.COMPLETION_FILE, reports.PROGRESS_FILE):
        (tmp_path / name).write_text("{")
    assert "its error file cannot be read" in read_error(tmp_path, 0)[1]
    assert "the completion record cannot be read" in read_completion(tmp_path)[1]
    found = current_progress(node, "train", {"0": 1.5})
    assert (found.attempt, found.done, found.heartbeats) == (2, 0, {"0": 1.5})
    (tmp_path / reports.error_file(0)).write_text(json.dumps({"message": "plain"}))
    assert read_error(tmp_path, 0)[1:] == ("plain", "")
