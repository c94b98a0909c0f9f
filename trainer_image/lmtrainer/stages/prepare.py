"""The stage `prepare`: text becomes a tokenizer and a dataset. No accelerator; a process on each of
its nodes, which has others under it.

The node that leads does everything and claims the output folder; the others take parts of the text
off its hands.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from lmtrainer.contract.environment import is_loopback
from lmtrainer.contract.output import CHECKPOINTS, MODEL_FOLDER
from lmtrainer.dataset import ALONE, Company, Following, Kept, Leading, follow, prepare
from lmtrainer.faults import InterruptedRunError, UserError
from lmtrainer.output.identity import WAYS_OUT
from lmtrainer.stage import StageContext
from lmtrainer.stages.bytes import Bytes
from lmtrainer.stages.ends import claim_output, leave_record, reserve_copy


def run(context: StageContext) -> None:
    """Prepare, or find that the very same was prepared before and verify it."""
    if context.node.nnodes == 1:
        _lead(context, None)
        return
    # A node alone needs no store, and so no torch.
    from lmtrainer.parallel.board import Board

    board = Board(context)
    here = context.node.nnodes if is_loopback(context.node.master_addr) else 1
    if context.node.is_master:
        _lead(context, Leading(board, here))
    else:
        follow(context.run, context.node.claims, Following(board, here))


def _lead(context: StageContext, others: Leading | None) -> None:
    progress = Bytes(context)
    with claim_output(context) as held:
        # Days of training must not end before a bucket that is not there.
        reserve_copy(context)
        prepared = prepare(
            context.run,
            held.folder,
            context.node.claims,
            progress,
            Company(
                nodes=Kept(others or ALONE, progress.keep),
                tell=lambda line: print(line, flush=True),
                before_change=lambda: _refuse_if_trained(held.folder),
            ),
        )
        leave_record(context, held, prepared.manifest_sha256)
    if others is not None:
        # What is done is done, even if somebody wants an end now.
        with contextlib.suppress(InterruptedRunError):
            others.end()


def _refuse_if_trained(output: Path) -> None:
    """Training may not go on with another text as if it were the same."""
    if any((output / CHECKPOINTS).glob("[!.]*")) or (output / MODEL_FOLDER).exists():
        raise UserError(
            "data: the text or the tokenizer has changed since "
            f"{output} was trained on it; change it back, {WAYS_OUT}"
        )
