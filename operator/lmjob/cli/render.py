"""`lmjob render FILE`: the objects that the operator would create for attempt 1 of a job.

lmjob render manifests/examples/two-workers.yaml
lmjob render --namespace team-a job.yaml | kubectl apply --dry-run=server -f -

What only a cluster knows is stood in for: the job's uid (unless the file has one) and the address
of the master's pod.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from lmjob.api.names import DEFAULT_TRAINER_IMAGE
from lmjob.api.spec import parse_job
from lmjob.api.yamlscalars import plain_scalar
from lmjob.cli.jobs import JOB_FAULTS, complaints, read_document
from lmjob.core.plan import Facts, JobPlan, plan_job
from lmjob.render import config_map, pod, service
from lmtrainer.contract.exits import ExitType

HELP = "print the objects that the operator would create for a job"

UID = "00000000-0000-0000-0000-000000000000"
MASTER_IP = "192.0.2.1"
"""An address that is nobody's (RFC 5737)."""

ATTEMPT = 1

_WIDTH = 1 << 30
"""No text is folded: each value stays on one line, which `grep` and `diff` like."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of `render`."""
    parser.add_argument("file", metavar="FILE", help="job file; - is standard input")
    parser.add_argument(
        "--image",
        default=DEFAULT_TRAINER_IMAGE,
        metavar="IMAGE",
        help="of a job that names none, as the operator's setting (default: %(default)s)",
    )
    parser.add_argument(
        "--namespace", "-n", metavar="NS", help="of the job, in place of the one in the file"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the objects of a job as YAML documents."""
    try:
        body = _in_namespace(read_document(arguments.file), arguments.namespace)
        job = parse_job(body)
        facts = Facts(default_image=arguments.image)
        found = list(objects(plan_job(job, uid=job.uid or UID, facts=facts)))
    except JOB_FAULTS as fault:
        print("\n".join(complaints(arguments.file, fault)), file=sys.stderr)
        return ExitType.USER_ERROR.code
    print(as_yaml(found), end="")
    return ExitType.SUCCEEDED.code


def objects(plan: JobPlan) -> Iterator[dict[str, Any]]:
    """The objects of a job in the order in which the operator creates them."""
    yield config_map(plan)
    yield service(plan)
    for stage in plan.stages:
        for replica in stage.replicas:
            yield pod(plan, stage.name, replica, ATTEMPT, master_ip=MASTER_IP)


def as_yaml(found: Iterable[dict[str, Any]]) -> str:
    """YAML that kubectl reads back as these very objects."""
    return yaml.dump_all(
        found, Dumper=_Dumper, explicit_start=True, sort_keys=False, width=MAX_LINE
    )


MAX_LINE = 1 << 30
"""A text is never folded: each value stays on one line, which `grep` and `diff` like."""


class _Dumper(yaml.SafeDumper):
    """Writes nothing twice by way of an anchor, and texts as `_text` does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    """Quotes what kubectl would read as a number, a flag or nothing, and escapes what a terminal
    would not show."""
    plain = text.isascii() and text.isprintable() and plain_scalar(text) == text
    style = None if plain else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _in_namespace(body: Any, namespace: str | None) -> Any:
    """A document with the namespace of the command line, checked like one of its own."""
    if namespace is None or not isinstance(body, Mapping):
        return body
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        return body
    return {**body, "metadata": {**metadata, "namespace": namespace}}
