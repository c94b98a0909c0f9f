"""A process that copies an output folder to a store, `copy_results.py FOLDER URL`, and prints by
how many bytes that made it grow."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from lmtrainer.config import RunConfig, parse
from lmtrainer.output import claim
from lmtrainer.output.copy import Copied, copy
from lmtrainer.output.reservation import reserve
from lmtrainer.output.selection import results_in

NAMES = ("model", "evaluation.json", "loss.png")
JOB = "job-a"


def run_of(folder: Path, url: str, seed: int = 1) -> RunConfig:
    plain = {
        "seed": seed,
        "data": {"train": ["text.txt"]},
        "model": {"type": "bert"},
        "phases": [{"name": "main", "steps": 1}],
        "output": {"to": str(folder), "copyTo": url},
    }
    return parse(RunConfig, plain)


def copied(folder: Path, url: str) -> Copied:
    run = run_of(folder, url)
    with claim(folder, run, JOB, 1) as mine:
        prefix = reserve(url, run, JOB, 1)
        files = results_in(folder, NAMES)
        return copy(mine, files, prefix, run, names=NAMES, tell=lambda done, total: None)


def peak() -> int:
    """Most memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    before = peak()
    copied(Path(sys.argv[1]), sys.argv[2])
    print(peak() - before)
