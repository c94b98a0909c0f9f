"""Which plan a run carries out: the frozen one of a job that is under way or done in the output
folder, or a new one under a new uid."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmjob.core.plan.shapes import JobPlan
from lmjob.local.nodefiles import node_folders
from lmjob.local.procs import end_all
from lmjob.local.store import Stored, read, state_folder, write
from lmtrainer.config import document


def open_job(output: Path, plan: JobPlan, spec: Mapping[str, Any]) -> Stored:
    """The job of a locked output folder. `plan` is what would be carried out afresh.

    The same specification goes on as it was planned at first, also with newer software; one that
    failed or was changed becomes a new job, which the trainer lets go on with the same work if its
    configuration allows it.
    """
    stored = read(output)
    if stored is not None and _is_same(stored, plan, spec) and stored.memory.outcome != "failed":
        return stored
    if stored is not None:
        _set_aside(output, stored.plan)
    fresh = Stored(plan=plan, spec=spec)
    write(output, fresh)
    return fresh


def _is_same(stored: Stored, plan: JobPlan, spec: Mapping[str, Any]) -> bool:
    if plan.run.checkpoint.resume == "never":
        return False
    return _lasting(stored.spec) == _lasting(spec) or _content(stored.plan) == _content(plan)


def _lasting(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A specification without what may change while a job is under way."""
    return {name: value for name, value in document(spec).items() if name != "suspend"}


def _content(plan: JobPlan) -> dict[str, Any]:
    """A plan without the job that it is for."""
    plain: dict[str, Any] = document(plan)
    return {name: value for name, value in plain.items() if name not in ("job", "planHash")}


def _set_aside(output: Path, plan: JobPlan) -> None:
    """Keep the logs of an earlier job of this folder out of the way, once nothing of it lives."""
    folder = state_folder(output) / "earlier" / plan.job.uid[:8]
    folder.mkdir(parents=True, exist_ok=True)
    for node in node_folders(state_folder(output)):
        end_all(node, plan.grace_seconds)
        shutil.rmtree(folder / node.name, ignore_errors=True)
        node.rename(folder / node.name)
