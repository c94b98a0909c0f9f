"""How every stage begins and ends: with a claim on the output folder, and with a record."""

from __future__ import annotations

from contextlib import AbstractContextManager

from lmtrainer.config import config_hash
from lmtrainer.contract.reports import Completion, Position
from lmtrainer.output import Claim, claim, resolve, write_record
from lmtrainer.output.reservation import reserve
from lmtrainer.s3 import Folder
from lmtrainer.stage import StageContext
from lmtrainer.text.sources import folder


def claim_output(context: StageContext) -> AbstractContextManager[Claim]:
    """Hold the output folder of the run for the length of the block; see `lmtrainer.output`."""
    base = folder(context.run.output.to, context.node.claims)
    uid = context.node.job_uid
    return claim(resolve(base, context.run, uid), context.run, uid, context.node.attempt)


def reserve_copy(context: StageContext) -> Folder | None:
    """Where this job's results are copied to, proven to be there, writable and its own; None if
    they are not to be copied."""
    run, node = context.run, context.node
    if run.output.copy_to is None:
        return None
    return reserve(run.output.copy_to, run, node.job_uid, node.attempt)


def leave_record(
    context: StageContext,
    held: Claim,
    manifest_sha256: str,
    end: Position | None = None,
    *,
    rollbacks: int = 0,
) -> None:
    """Say in the folder, and to whoever runs the job, that the stage is done. The last act: all
    that the manifest names is durable by now. `end` is where training ended."""
    record = _record(context, held, manifest_sha256, end, rollbacks=rollbacks)
    write_record(held, record)
    context.reports.completion(record)


def leave_note(context: StageContext, held: Claim, manifest_sha256: str, part: str) -> None:
    """Say in the folder that a part of the stage's work is done, so that it is not done again."""
    write_record(held, _record(context, held, manifest_sha256), part)


def _record(
    context: StageContext,
    held: Claim,
    manifest_sha256: str,
    end: Position | None = None,
    *,
    rollbacks: int = 0,
) -> Completion:
    return Completion(
        stage=context.stage,
        job_uid=held.job_uid,
        attempt=held.attempt,
        config_hash=config_hash(context.run),
        position=end,
        target=end,
        rollbacks=rollbacks,
        manifest_sha256=manifest_sha256,
        output=context.run.output.to,
    )
