"""Which folder this job writes to, and the right to do so; for all stages."""

from __future__ import annotations

from contextlib import AbstractContextManager

from lmtrainer.output import Claim, claim, resolve
from lmtrainer.stage import StageContext
from lmtrainer.text.sources import folder


def claim_output(context: StageContext) -> AbstractContextManager[Claim]:
    """Hold the output folder of the run for the length of the block; see `lmtrainer.output`."""
    base = folder(context.run.output.to, context.node.claims)
    uid = context.node.job_uid
    return claim(resolve(base, context.run, uid), context.run, uid, context.node.attempt)
