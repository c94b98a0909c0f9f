"""The stage `train`: one group of ranks that runs all phases, from wherever the output folder says.

Rank 0 alone claims the output folder and publishes what lies there; the others hear of the state
from it, or read and write their own parts of a state in parts.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lmtrainer import checkpoint
from lmtrainer.checkpoint import Checkpoint
from lmtrainer.config import RunConfig, config_hash, document, parse
from lmtrainer.config.schema import setting
from lmtrainer.contract.output import MODEL_FOLDER
from lmtrainer.contract.reports import Position, Progress
from lmtrainer.dataset import Prepared, open_prepared, training_steps
from lmtrainer.durable import MANIFEST_FILE, verify_manifest
from lmtrainer.evaluate import events
from lmtrainer.models import build
from lmtrainer.output import Claim, MetricsLog, verified_record
from lmtrainer.parallel.exchange import document_from_leader
from lmtrainer.parallel.world import World, join, leave
from lmtrainer.stage import StageContext
from lmtrainer.stages.ends import claim_output, leave_record
from lmtrainer.text.sources import saved
from lmtrainer.train.finish import publish_model
from lmtrainer.train.monitor import monitor
from lmtrainer.train.saving import Leader
from lmtrainer.train.session import Session
from lmtrainer.train.telemetry import Telemetry


@dataclass(frozen=True, kw_only=True)
class Start:
    """What rank 0 found, for all ranks: where results lie, and whether there is anything to do."""

    output: str
    finished: bool = setting(False, "a verified record says that nothing is left to do")


def run(context: StageContext) -> None:
    """Train until the last step of the last phase, or end as soon as that is proven to be done."""
    torch.set_num_threads(_threads(context.run))
    with contextlib.ExitStack() as stack:
        world = join(context)
        stack.callback(leave, world)
        held = stack.enter_context(claim_output(context)) if world.is_leader else None
        start, resumed = _agree(context, world, held)
        if not start.finished:
            _train(context, world, Path(start.output), held, resumed)


def _threads(run: RunConfig) -> int:
    assert isinstance(run.threads_per_process, int), "the plan resolves it"
    return run.threads_per_process


def _agree(
    context: StageContext, world: World, held: Claim | None
) -> tuple[Start, Checkpoint | None]:
    """Rank 0 looks, all ranks hear."""
    found: Start | None = None
    resumed: Checkpoint | None = None
    if held is not None:
        found, resumed = _look(context, held)
    return parse(Start, document_from_leader(world, document(found))), resumed


def _look(context: StageContext, held: Claim) -> tuple[Start, Checkpoint | None]:
    run = context.run
    record = verified_record(
        held.folder,
        "train",
        config_hash=config_hash(run),
        manifest=held.folder / MODEL_FOLDER / MANIFEST_FILE,
        check=verify_manifest,
    )
    if record is not None:
        leave_record(
            context,
            held,
            record.manifest_sha256,
            record.position,
            rollbacks=record.rollbacks,
        )
        return Start(output=str(held.folder), finished=True), None
    required = run.checkpoint.resume == "required"
    found = checkpoint.newest(held.folder / checkpoint.FOLDER, config_hash(run), required=required)
    for aside in found.set_aside:
        print(f"checkpoint {aside.name} set aside: {aside.reason}", flush=True)
    return Start(output=str(held.folder)), found.checkpoint


def _train(
    context: StageContext,
    world: World,
    output: Path,
    held: Claim | None,
    resumed: Checkpoint | None,
) -> None:
    run = context.run
    node = context.node
    prepared = open_prepared(run, output, node.claims, node=Path(node.node_dir))
    steps = training_steps(prepared, run)
    with contextlib.ExitStack() as stack:
        leader = None
        if held is not None:
            reached = resumed.position if resumed else None
            log = MetricsLog(held.folder, resumed=reached)
            stack.callback(log.close)
            if run.output.tensorboard:
                stack.enter_context(events.following(held.folder, fence=held.fence))
            progress = _progress(context, steps, reached)
            look = monitor(world.device, node.nproc_per_node)
            leader = Leader(held, Telemetry(context.reports, log, progress, look))
        session = Session(
            context, world, prepared, lambda: _model(context, prepared), leader, output
        )
        memory = session.train(steps, resumed)
        model = session.whole_model()
    if held is not None:
        _finish(context, held, prepared, model, steps, rollbacks=memory.rollbacks)


def _model(context: StageContext, prepared: Prepared) -> Any:
    place = context.run.model.from_
    folder = None if place is None else saved(place, context.node.claims, "model.from")
    return build.for_run(context.run, prepared.vocabulary, folder)


def _progress(context: StageContext, steps: tuple[int, ...], reached: Position | None) -> Progress:
    return Progress(
        job_uid=context.node.job_uid,
        attempt=context.node.attempt,
        stage="train",
        total=sum(steps),
        durable=reached,
        resumed_from=reached,
    )


def _finish(
    context: StageContext,
    held: Claim,
    prepared: Prepared,
    model: Any,
    steps: tuple[int, ...],
    *,
    rollbacks: int,
) -> None:
    run = context.run
    last = len(steps) - 1
    end = Position(phase_index=last, step=steps[last], phase=run.phases[last].name)
    manifest = publish_model(
        model,
        prepared.tokenizer,
        held.folder / MODEL_FOLDER,
        position=end,
        sequence_length=run.phases[last].sequence_length,
        fence=held.fence,
    )
    leave_record(context, held, manifest, end, rollbacks=rollbacks)
