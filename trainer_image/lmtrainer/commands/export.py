"""`lmtrainer export FROM TO`: a checkpoint as a folder that transformers loads, tokenizer included.

Every byte of the checkpoint is verified first. The folder appears whole or not at all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lmtrainer.commands.running import carry_out

DTYPES = ("float32", "bfloat16", "float16")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FROM", help="a checkpoint, or a run's output folder")
    parser.add_argument("to", metavar="TO", help="a folder that is not there yet")
    parser.add_argument("--tokenizer", metavar="FOLDER", help="left out, that of the run")
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="of the weights")


def run(given: argparse.Namespace) -> int:
    """Export and say where the model lies."""
    return carry_out(lambda: _export(given))


def _export(given: argparse.Namespace) -> None:
    import torch

    from lmtrainer.commands.places import checkpoint_in, family_of, tokenizer_for
    from lmtrainer.durable import make_folder
    from lmtrainer.faults import UserError
    from lmtrainer.models import build
    from lmtrainer.train.finish import publish_model

    target = Path(given.to).absolute()
    if target.exists() or target.is_symlink():
        raise UserError(f"{target}: is there already; name a new folder")
    found = checkpoint_in(Path(given.source).absolute())
    tokenizer = tokenizer_for(found.path, given.tokenizer)
    model = build.from_folder(family_of(found.path), found.path)
    make_folder(target.parent)
    publish_model(model.to(getattr(torch, given.dtype)), tokenizer, target, position=found.position)
    print(f"{found.path.name}: exported to {target}")
