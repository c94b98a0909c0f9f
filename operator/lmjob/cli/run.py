"""`lmjob run FILE [--mount CLAIM=FOLDER]`: carries a job out on this machine.

Exit codes: 0 complete, or at rest because the job says so; 65 a mistake of the user's; 130 or 143
stopped by Ctrl-C or SIGTERM; else that of the first cause (`lmtrainer.contract.exits`).
"""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from lmjob.api.spec import parse_job
from lmjob.cli.jobs import JOB_FAULTS, complaints, read_document
from lmjob.core.memory import Memory
from lmjob.core.plan import JobPlan, plan_job
from lmjob.core.words import position_words
from lmjob.local.failure import failure_lines
from lmjob.local.folders import claim_folders, output_folder, parse_mounts
from lmjob.local.job import open_job
from lmjob.local.machine import machine_facts
from lmjob.local.result import result_lines
from lmjob.local.run import run_job
from lmjob.local.store import StateError, Stored, locked
from lmjob.local.surroundings import unset_secrets
from lmtrainer.config import MistakesError
from lmtrainer.contract.exits import ExitType

HELP = "carry a job out on this machine"

_SIGNALLED = 128
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of `run`."""
    parser.add_argument("file", metavar="FILE", help="job file; - is standard input")
    parser.add_argument(
        "--mount",
        action="append",
        default=[],
        metavar="CLAIM=FOLDER",
        help="the folder of a volume claim; without it ./volumes/CLAIM",
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out, or go on with, the job of a file."""
    console = Console(highlight=False)
    try:
        request = _request(arguments.file, arguments.mount)
    except JOB_FAULTS as fault:
        for line in complaints(arguments.file, fault):
            _say(console, line)
        return ExitType.USER_ERROR.code
    try:
        with locked(request.output):
            return _carry_out(request, console)
    except (StateError, MistakesError) as fault:
        for line in complaints(arguments.file, fault):
            _say(console, line)
        return ExitType.USER_ERROR.code
    except OSError as fault:
        full = fault.errno in _DISK
        way_out = f"; make room, then: {request.command}" if full else ""
        _say(console, f"{fault.filename or request.output}: {fault.strerror or fault}{way_out}")
        return (ExitType.DISK_FULL if full else ExitType.FAILED).code


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What the user asked for."""

    plan: JobPlan
    """As it would be carried out afresh."""
    spec: Mapping[str, Any]
    suspend: bool
    claims: Mapping[str, str]
    output: Path
    command: str
    """The same again, as it is typed."""


def _request(file: str, mounts: list[str]) -> _Request:
    folders = parse_mounts(mounts)
    body = read_document(file)
    job = parse_job(body)
    plan = plan_job(job, uid=str(uuid.uuid4()), facts=machine_facts())
    claims = claim_folders(plan.run, folders)
    options = [word for mount in mounts for word in ("--mount", mount)]
    return _Request(
        plan=plan,
        spec=body["spec"],
        suspend=job.spec.suspend,
        claims=claims,
        output=output_folder(plan.run, claims, plan.job.uid),
        command=shlex.join(["lmjob", "run", file, *options]),
    )


def _carry_out(request: _Request, console: Console) -> int:
    stored = open_job(request.output, request.plan, request.spec)
    if stored.memory.outcome == "complete":
        _say(console, f"complete: job {stored.plan.job.name} was done before")
        return _tell_result(request, stored, console)
    unset = tuple(unset_secrets(stored.plan, os.environ))
    if unset:
        raise MistakesError(unset)
    if find_spec("torch") is None:
        raise StateError("the trainer is not installed here: pip install 'lmtrainer[train]'")
    _say(console, f"job {stored.plan.job.name} ({stored.plan.job.uid[:8]}) -> {request.output}")
    memory, number = run_job(
        request.output, stored, claims=request.claims, suspend=request.suspend, console=console
    )
    if memory.outcome == "complete":
        return _tell_result(request, stored, console)
    if memory.outcome == "failed":
        return _tell_failure(request, memory, console)
    for line in _rest_lines(request, memory, number):
        _say(console, line)
    return _SIGNALLED + number if number else ExitType.SUCCEEDED.code


def _tell_result(request: _Request, stored: Stored, console: Console) -> int:
    for line in result_lines(request.output, stored.plan.run):
        _say(console, line)
    return ExitType.SUCCEEDED.code


def _tell_failure(request: _Request, memory: Memory, console: Console) -> int:
    for line in failure_lines(request.output, memory, request.command):
        _say(console, line)
    return (memory.last_fault.exit if memory.last_fault else ExitType.FAILED).code


def _rest_lines(request: _Request, memory: Memory, number: int) -> Iterator[str]:
    if not number:
        yield "spec.suspend is true: the job rests; set it to false and run it again to go on"
        return
    if request.plan.run.checkpoint.resume == "never":
        yield "stopped; checkpoint.resume is never, so the same command begins afresh"
        return
    where = "stopped; the same command goes on from the newest checkpoint:"
    if memory.outcome == "suspended":
        where = f"stopped at {position_words(memory.durable)}; the same command goes on from there:"
    yield where
    yield f"  {request.command}"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
