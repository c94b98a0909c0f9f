"""`lmjob validate FILE...`: every mistake of every job file at once, without a cluster.

lmjob validate manifests/examples/*.yaml
"""

from __future__ import annotations

import argparse

from lmjob.cli.jobs import JOB_FAULTS, complaints, read_job
from lmtrainer.contract.exits import ExitType

HELP = "check job files: every mistake at once"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of `validate`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="job files; - is standard input")


def run(arguments: argparse.Namespace) -> int:
    """Print OK or every mistake of each file; 0 if all can be used."""
    wrong = False
    for path in arguments.files:
        found = mistakes_in(path)
        wrong = wrong or bool(found)
        for line in found or [f"{path}: OK"]:
            print(line)
    return ExitType.USER_ERROR.code if wrong else ExitType.SUCCEEDED.code


def mistakes_in(path: str) -> list[str]:
    """A line for each mistake of a job file; none if it can be used."""
    try:
        read_job(path)
    except JOB_FAULTS as fault:
        return complaints(path, fault)
    return []
