"""Job files on the command line: read, checked, and what is said when they cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from lmjob.api.jobfile import MAX_BYTES, JobFileError, read_job_file
from lmjob.api.spec import Job, parse_job
from lmtrainer.config import MistakesError

STDIN = "-"

JOB_FAULTS = (JobFileError, MistakesError, OSError)
"""What `read_document` and `read_job` raise; `complaints` words it."""


def read_document(path: str) -> Any:
    """The document in a file, or on standard input for "-". JobFileError or OSError if none."""
    if path == STDIN:
        return read_job_file(sys.stdin.buffer.read(MAX_BYTES + 1))
    with Path(path).open("rb") as file:
        return read_job_file(file.read(MAX_BYTES + 1))


def read_job(path: str) -> Job:
    """The job in a file; raises one of JOB_FAULTS."""
    return parse_job(read_document(path))


def complaints(path: str, fault: Exception) -> list[str]:
    """One line for each thing that is wrong with a file."""
    name = "standard input" if path == STDIN else path
    if isinstance(fault, MistakesError):
        return [f"{name}: {mistake}" for mistake in fault.mistakes]
    if isinstance(fault, OSError):
        return [f"{name}: cannot be read: {fault.strerror or fault}"]
    return [f"{name}: {fault}"]
