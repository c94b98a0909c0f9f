"""Which folder is meant: that of a model, of a checkpoint, or the output folder of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from lmtrainer.checkpoint import FOLDER as CHECKPOINTS
from lmtrainer.checkpoint import Checkpoint, find, newest, verify
from lmtrainer.config.architecture import ModelType
from lmtrainer.config.model import OBJECTIVES
from lmtrainer.contract.output import MODEL_CONFIG_FILE, MODEL_FOLDER
from lmtrainer.dataset.home import TOKENIZER
from lmtrainer.durable import MANIFEST_FILE, read_manifest
from lmtrainer.faults import UserError
from lmtrainer.output import read_identity
from lmtrainer.vocab.folder import TOKENIZER_FILE


def model_in(folder: Path) -> Path:
    """The folder of the model that `folder` is, or has."""
    if next(folder.glob("part-*.safetensors"), None) is not None:
        way_out = f"put them together: lmtrainer export {folder} NEW-FOLDER"
        raise UserError(f"{folder}: is a checkpoint in parts; {way_out}")
    for place in (folder, folder / MODEL_FOLDER):
        if (place / MODEL_CONFIG_FILE).is_file():
            return place
    raise UserError(
        f"{folder}: holds no model ({MODEL_CONFIG_FILE}); give the folder of one, or a run's"
    )


def checkpoint_in(folder: Path) -> Checkpoint:
    """The checkpoint that `folder` is, by our name or Lightning's, or the newest that verifies of
    the run whose output folder it is. DamagedError if the one that was named does not verify."""
    if folder.parent.name == CHECKPOINTS:
        folder = find(folder.parent, folder.name) or folder
        return verify(folder, str(read_manifest(folder).facts.get("configHash")))
    identity = read_identity(folder)
    if identity is None:
        raise UserError(f"{folder}: is neither a checkpoint nor the output folder of a run")
    found = newest(folder / CHECKPOINTS, identity.config_hash, repair=False)
    if found.checkpoint is None:
        reasons = "".join(f"; {aside.reason}" for aside in found.set_aside)
        raise UserError(f"{folder}: holds no checkpoint that can be used{reasons}")
    return found.checkpoint


def tokenizer_for(model: Path, given: str | None) -> Path:
    """The folder of the tokenizer: as given, beside the weights, or of the run of a checkpoint."""
    places = [Path(given)] if given else [model, model.parent.parent / TOKENIZER]
    for place in places:
        if (place / TOKENIZER_FILE).is_file():
            return place
    raise UserError(f"{places[0]}: has no {TOKENIZER_FILE}; give the tokenizer by --tokenizer")


def family_of(model: Path) -> ModelType:
    """What kind of model lies in a folder."""
    path = model / MODEL_CONFIG_FILE
    try:
        kind = json.loads(path.read_bytes()).get("model_type")
    except (ValueError, AttributeError) as fault:
        raise UserError(f"{path}: is no model's configuration: {fault}") from None
    if kind not in OBJECTIVES:
        raise UserError(f"{model}: holds a {kind}; known: {', '.join(OBJECTIVES)}")
    return cast(ModelType, kind)


def trained_length(model: Path) -> int | None:
    """The longest sequence of the last phase, where the folder tells it."""
    if not (model / MANIFEST_FILE).is_file():
        return None
    length = read_manifest(model).facts.get("sequenceLength")
    return length if isinstance(length, int) else None
