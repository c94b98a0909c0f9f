"""`lmtrainer export FROM TO`: a checkpoint as a folder that transformers loads, tokenizer included.

Every byte of the checkpoint is verified first. The folder appears whole or not at all.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtrainer.commands.running import carry_out
from lmtrainer.durable import LEFTOVER

if TYPE_CHECKING:
    from lmtrainer.checkpoint import Checkpoint

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

    from lmtrainer.commands.places import checkpoint_in, tokenizer_for
    from lmtrainer.durable import make_folder
    from lmtrainer.faults import UserError
    from lmtrainer.train.finish import publish_model

    target = Path(given.to).absolute()
    if target.exists() or target.is_symlink():
        raise UserError(f"{target}: is there already; name a new folder")
    found = checkpoint_in(Path(given.source).absolute())
    tokenizer = tokenizer_for(found.path, given.tokenizer)
    make_folder(target.parent)
    model = _model(found, target.parent).to(getattr(torch, given.dtype))
    publish_model(model, tokenizer, target, position=found.position)
    print(f"{found.path.name}: exported to {target}")


def _model(found: Checkpoint, beside: Path) -> Any:
    """The model of a checkpoint; of one in parts they are put together first, in a folder that goes
    away again."""
    from lmtrainer.checkpoint import load_weights, write_tensors
    from lmtrainer.commands.places import family_of
    from lmtrainer.contract.output import MODEL_CONFIG_FILE, WEIGHTS_FILE
    from lmtrainer.models import build

    kind = family_of(found.path)
    if not found.parts:
        return build.from_folder(kind, found.path)
    with tempfile.TemporaryDirectory(prefix=LEFTOVER, dir=beside) as whole:
        shutil.copyfile(found.path / MODEL_CONFIG_FILE, Path(whole, MODEL_CONFIG_FILE))
        write_tensors(Path(whole, WEIGHTS_FILE), load_weights(found))
        return build.from_folder(kind, Path(whole))
