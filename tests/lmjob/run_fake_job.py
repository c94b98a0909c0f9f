"""Runs the job of fake nodes that FOLDER/plan.json describes: `run_fake_job.py FOLDER`.

A program of its own, so that tests can send it signals.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console

from lmjob.core.plan.shapes import JobPlan
from lmjob.local.job import open_job
from lmjob.local.run import run_job
from lmjob.local.store import locked
from lmtrainer.config import parse

FAKE_LAUNCHER = Path(__file__).with_name("fake_launcher.py")


def main() -> int:
    folder = Path(sys.argv[1])
    plan = parse(JobPlan, json.loads((folder / "plan.json").read_text()))
    output = folder / "out"
    output.mkdir(exist_ok=True)
    with locked(output):
        stored = open_job(output, plan, {})
        memory, number = run_job(
            output,
            stored,
            claims={},
            console=Console(force_terminal=False, width=200),
            program=(sys.executable, str(FAKE_LAUNCHER)),
        )
    print(json.dumps({"outcome": memory.outcome, "attempt": memory.attempt, "signal": number}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
