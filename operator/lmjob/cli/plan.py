"""`lmjob plan FILE`: what a job would do, before anything is started.

lmjob plan manifests/examples/two-workers.yaml
lmjob plan -o json manifests/examples/two-workers.yaml
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from lmjob.api.names import Role
from lmjob.cli.jobs import JOB_FAULTS, complaints, read_job
from lmjob.core.plan import Facts, JobPlan, StagePlan, plan_job
from lmjob.core.plan.outline import PhaseOutline, claims_of, outline
from lmjob.local.machine import machine_facts
from lmtrainer.config import CommandConfig, document
from lmtrainer.contract.exits import ExitType

HELP = "show what a job would do: stages, ranks, batches, memory"

UNCLAIMED = "unclaimed"
"""The uid in a plan of a job that nobody has claimed yet."""

MIB, GIB = 1024**2, 1024**3

_SEVERAL: Mapping[Role, str] = MappingProxyType({"worker": "workers", "prepare": "nodes"})
"""Roles that a stage may have more than one node of."""

_WORK = {
    "prepare": "train or take the tokenizer, make the dataset",
    "train": "all phases, one group",
    "evaluate": "measure the trained model",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of `plan`."""
    parser.add_argument("file", metavar="FILE", help="job file; - is standard input")
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json"),
        default="text",
        help="json: the plan as it would be frozen",
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="as `lmjob run` would plan it: nodes share the cores of this machine",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan of a job."""
    try:
        job = read_job(arguments.file)
    except JOB_FAULTS as fault:
        print("\n".join(complaints(arguments.file, fault)), file=sys.stderr)
        return ExitType.USER_ERROR.code
    facts = machine_facts() if arguments.local else Facts()
    plan = plan_job(job, uid=job.uid or UNCLAIMED, facts=facts)
    if arguments.output == "json":
        print(json.dumps(document(plan), indent=2, allow_nan=False))
    else:
        print("\n".join(describe(plan)))
    return ExitType.SUCCEEDED.code


def describe(plan: JobPlan) -> Iterator[str]:
    """A plan as text, line by line."""
    phases = outline(plan)
    yield from _columns(_head(plan, phases))
    yield ""
    yield from _columns(_stages(plan))
    if not phases:
        return
    yield ""
    yield from _columns(_phases(phases))
    yield ""
    yield from _columns(_memory(phases))


def _head(plan: JobPlan, phases: Sequence[PhaseOutline]) -> Iterator[Sequence[str]]:
    read, written = claims_of(plan)
    claims = [*(f"{name} (read)" for name in read), *(f"{name} (written)" for name in written)]
    yield "job", f"{plan.job.namespace}/{plan.job.name}"
    yield "image", plan.image or "the operator's default"
    yield from _work(plan, phases)
    yield "output", plan.run.output.to
    if plan.run.output.copy_to:
        yield "copied to", plan.run.output.copy_to
    yield "claims", ", ".join(claims) or "none"


def _work(plan: JobPlan, phases: Sequence[PhaseOutline]) -> Iterator[Sequence[str]]:
    run = plan.run
    if isinstance(run, CommandConfig):
        yield "command", shlex.join(run.command)
        yield "threads", f"{run.threads_per_process} of a process"
        return
    name = "from " + run.model.from_ if run.model.from_ else f"{run.model.type}"
    first = phases[0].memory
    count = f", {first.parameters:,} parameters" if first else ""
    objectives = dict.fromkeys(run.objective_of(phase) for phase in run.phases)
    yield "model", f"{name}{count}, objective {', then '.join(objectives)}"
    yield "precision", f"{run.precision}; threads of a process: {run.threads_per_process}"


def _stages(plan: JobPlan) -> Iterator[Sequence[str]]:
    yield "stage", "nodes", "ranks", "node by node", "what"
    for stage in plan.stages:
        nodes, ranks = str(len(stage.replicas)), str(stage.world_size)
        own = isinstance(plan.run, CommandConfig)
        what = "the command, one group" if own else _WORK[stage.name]
        yield stage.name, nodes, ranks, _nodes(stage), what


def _nodes(stage: StagePlan) -> str:
    """Roles in order, with the ranks of each node: `master x 8, 3 workers x 8`."""
    counts: dict[tuple[Role, int], int] = {}
    for replica in stage.replicas:
        kind = (replica.role, replica.processes)
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(
        f"{role} x {processes}" if count == 1 else f"{count} {_SEVERAL[role]} x {processes}"
        for (role, processes), count in counts.items()
    )


def _phases(phases: Iterable[PhaseOutline]) -> Iterator[Sequence[str]]:
    yield (
        "phase",
        "steps",
        "length",
        "effective batch = micro x accumulation x world",
        "tokens a step at most",
        "learning rate",
    )
    for found in phases:
        phase = found.phase
        parts = f"{found.micro} x {found.accumulation} x {found.world_size}"
        batch = f"{phase.global_batch_size} = {parts}"
        if not found.even:
            batch = f"{phase.global_batch_size}, in {parts} with uneven shares"
        yield (
            phase.name,
            str(phase.steps) if phase.steps is not None else f"{phase.epochs:g} epochs",
            str(phase.sequence_length),
            batch,
            f"{found.tokens_per_step:,}",
            f"{phase.learning_rate:g}, {phase.schedule}",
        )


def _memory(phases: Iterable[PhaseOutline]) -> Iterator[Sequence[str]]:
    yield (
        "memory of a process, about",
        "weights",
        "gradients",
        "AdamW",
        "activations",
        "other",
        "in all",
    )
    for found in phases:
        memory = found.memory
        if memory is None:
            yield f"phase {found.phase.name}", "only the saved model knows its sizes"
            continue
        parts = (memory.weights, memory.gradients, memory.optimizer, memory.activations)
        yield (f"phase {found.phase.name}", *map(_size, (*parts, memory.other, memory.total)))


def _size(count: int) -> str:
    """Bytes, rounded up to MiB, or to tenths of GiB."""
    return f"{-(-count // MIB)} MiB" if count < GIB else f"{-(-count * 10 // GIB) / 10:.1f} GiB"


def _columns(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows as lines with aligned columns."""
    lines = [list(row) for row in rows]
    longest = max(len(row) for row in lines)
    widths = [
        max((len(row[place]) for row in lines if place < len(row) - 1), default=0)
        for place in range(longest)
    ]
    for row in lines:
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=False)
        ).rstrip()
