"""A saved model with its tokenizer, as a folder that from_pretrained loads. Called by `steps`."""

from __future__ import annotations

from pathlib import Path

from lmtrainer.commands.places import family_of, model_in, tokenizer_for
from lmtrainer.compat.translation import ExportStep
from lmtrainer.contract.reports import Position
from lmtrainer.durable import make_folder
from lmtrainer.faults import UserError
from lmtrainer.models import build
from lmtrainer.train.finish import publish_model


def export(step: ExportStep) -> None:
    """Load and save, in float32; UserError if something is there already."""
    target = Path(step.to).absolute()
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target}: is not empty; name a new folder")
    place = model_in(Path(step.model).absolute())
    model = build.from_folder(family_of(place), place)
    make_folder(target.parent)
    position = Position(phase_index=0, step=0, phase="exported")
    publish_model(model, tokenizer_for(place, None), target, position=position)
    print(f"{place}: exported to {target}", flush=True)
