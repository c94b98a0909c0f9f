"""How long jobs took to recover: a line for each fault, a table and a file for the README."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.real.run import Run
from tests.cluster.real.witness import Witness

FILE = "recovery.json"
FOLDER = "LMJOB_REPORT_DIR"
"""Names the folder into which the file is written."""


@dataclass(frozen=True)
class Recovery:
    """Of one job after one fault."""

    fault: str
    at_step: int
    seconds: float
    """From the fault to the first step of the attempt that followed; 0 if none had to."""
    attempts: int
    lost_steps: int
    """Done, and done again."""
    charged: int
    """Restarts that count against failurePolicy.maxRestarts."""
    cause: str
    """What the job says of it."""


def recovery(fault: str, at: float, at_step: int, run: Run, seen: Witness) -> Recovery:
    """Of a job that is over. `at`: Unix time of the fault."""
    status = run.status()
    first_step = seen.progress[status["attempt"]].first_step_at
    assert first_step is not None
    cause = status.get("lastFault") or {}
    return Recovery(
        fault=fault,
        at_step=at_step,
        seconds=round(first_step - at, 1) if status["attempt"] > 1 else 0.0,
        attempts=status["attempt"],
        lost_steps=lost_steps(seen),
        charged=status["restarts"],
        cause=f"{cause['reason']} of {cause['replica']}" if cause else "",
    )


def lost_steps(seen: Witness) -> int:
    """Steps that a later attempt did again."""
    lost, done = 0, 0
    for attempt, steps in sorted(seen.steps.items()):
        resumed = seen.progress[attempt].resumed_from
        lost += max(0, done - (resumed.step if resumed else 0))
        done = steps
    return lost


def table(found: list[Recovery]) -> list[str]:
    """For the README."""
    lines = ["| fault | fault to first new step | lost steps | attempts | the job says |"]
    lines.append("|---|---|---|---|---|")
    for one in found:
        took = f"{one.seconds:.1f} s" if one.attempts > 1 else "goes on"
        lines.append(
            f"| {one.fault} | {took} | {one.lost_steps} | {one.attempts} | {one.cause or '-'} |"
        )
    return lines


def write(found: list[Recovery]) -> None:
    """Into the folder that the environment names, if it names one."""
    folder = os.environ.get(FOLDER)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(one) for one in found], indent=1)
        (Path(folder) / FILE).write_text(text + "\n")
