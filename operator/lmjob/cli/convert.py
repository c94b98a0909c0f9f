"""`lmjob convert -- COMMAND...`: the command line of an earlier kit as a job.

lmjob convert -- python run_mlm.py --train_dir text/train ...
lmjob convert --mount corpus=/dataset --mount results=/output -- torchrun --nnodes 2 ...

The job is printed; what became of each flag stands above it as comments. `--mount` says which
folders are volume claims: on a cluster every location has to be in one. A command line that trains
becomes the phases of a job; one that does something else is run in a pod as it is.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmjob.api.names import API_VERSION, KIND, MAX_JOB_NAME
from lmjob.cli.jobs import complaints
from lmjob.core.plan.places import local_paths
from lmjob.local.folders import parse_mounts
from lmtrainer.compat import RunStep, Translation, translate
from lmtrainer.compat.documents import yaml_of
from lmtrainer.compat.localfiles import LocalFiles
from lmtrainer.compat.training import RUN_FOLDER
from lmtrainer.compat.translation import InstancesStep, PrintStep, Step, VocabularyStep
from lmtrainer.config import MistakesError, RunConfig, parse
from lmtrainer.contract.exits import ExitType

HELP = "print the job that does what a command line of an earlier kit does"

PROGRAM = ("lmtrainer", "compat")
"""What runs a command line in a pod as it is."""

_OTHER = re.compile(r"[^a-z0-9]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of `convert`."""
    parser.add_argument(
        "--mount",
        action="append",
        default=[],
        metavar="CLAIM=FOLDER",
        help="what lies below FOLDER is pvc://CLAIM/... in the job",
    )
    parser.add_argument("--name", metavar="NAME", help="of the job; left out, of its results")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="as it was typed"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the job of a command line."""
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    try:
        folders = parse_mounts(arguments.mount)
        translation = translate(words, os.environ, LocalFiles())
    except MistakesError as fault:
        print("\n".join(complaints("command line", fault)), file=sys.stderr)
        return ExitType.USER_ERROR.code
    print("\n".join(lines(translation, folders, arguments.name)))
    return ExitType.SUCCEEDED.code


def lines(translation: Translation, folders: Mapping[str, str], name: str | None) -> Iterator[str]:
    """The job as YAML, under what became of the flags."""
    spec = _moved(_spec(translation), {_whole(f): c for c, f in folders.items()})
    for note in translation.notes:
        yield f"# {note}"
    for place in _of_one_machine(spec):
        yield f"# {place}"
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": job_name(name or spec["output"]["to"])},
        "spec": spec,
    }
    yield yaml_of(document).rstrip()


def job_name(text: str) -> str:
    """A name that Kubernetes takes, out of any text."""
    words = _OTHER.sub("-", posixpath.basename(text.rstrip("/")).lower()).strip("-")
    named = words if words[:1].isalpha() else f"job-{words}".rstrip("-")
    return named[:MAX_JOB_NAME].rstrip("-")


def _spec(translation: Translation) -> dict[str, Any]:
    step = translation.steps[0]
    if isinstance(step, RunStep) and "train" in step.stages:
        spec = dict(step.run)
        # A job has its results in the folder itself, where a later one finds them as model.from.
        to = spec["output"]["to"].removesuffix(f"/{RUN_FOLDER}")
        spec["output"] = {**spec["output"], "to": to}
    else:
        spec = _as_it_is(translation)
    group = translation.group
    if group.nodes > 1:
        spec["workers"] = {"replicas": group.nodes - 1}
    if group.processes > 1:
        spec["processesPerNode"] = group.processes
    return spec


def _as_it_is(translation: Translation) -> dict[str, Any]:
    """A command that is run once, by the trainer's own image."""
    script = f"{translation.kit}:{translation.script}"
    beside = posixpath.dirname(_result(translation.steps[0]).rstrip("/"))
    return {
        "command": [*PROGRAM, script, *translation.arguments],
        "output": {
            "to": posixpath.join(beside, f"{posixpath.splitext(translation.script)[0]}-job")
        },
    }


def _result(step: Step) -> str:
    """What a step writes, as its command line names it; empty if nothing."""
    if isinstance(step, PrintStep):
        return ""
    if isinstance(step, RunStep):
        return step.results
    if isinstance(step, VocabularyStep):
        return step.file
    return step.to[0] if isinstance(step, InstancesStep) else step.to


def _moved(value: Any, claims: Mapping[str, str]) -> Any:
    """A document with every path below a mounted folder as a location in its claim."""
    if isinstance(value, Mapping):
        return {key: _moved(item, claims) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_moved(item, claims) for item in value]
    if not isinstance(value, str) or "://" in value:
        return value
    head, sign, path = value.rpartition("=") if value.startswith("--") else ("", "", value)
    whole = _whole(path)
    for folder, claim in claims.items():
        if whole == folder or whole.startswith(f"{folder.rstrip('/')}/"):
            return f"{head}{sign}pvc://{claim}/{whole[len(folder) :].strip('/')}".rstrip("/")
    return value


def _whole(path: str) -> str:
    return posixpath.normpath(posixpath.join(Path.cwd(), Path(path).expanduser()))


def _of_one_machine(spec: Mapping[str, Any]) -> Iterator[str]:
    """What a cluster would not find."""
    if "command" in spec:
        return
    known = {f: spec[f] for f in spec if f not in ("workers", "processesPerNode")}
    for mistake in local_paths(parse(RunConfig, known)):
        yield f"{mistake}, or --mount CLAIM=FOLDER"
