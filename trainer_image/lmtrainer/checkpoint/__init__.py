"""Checkpoints: the state of training, whole and verified, or not at all. Called by `train`.

    snapshot   what a checkpoint holds
    tensors    tensors to and from safetensors, hashed on the way; no pickle anywhere
    layout     names of the folders and what else lies beside them
    verify     is a folder what it says it is
    save       make a snapshot durable
    background the same while training goes on
    shards     the same in parts, one a rank
    restore    find the newest one that verifies, and read it
    rotate     which ones go

    <output>/checkpoints/<phase index>-<phase>-step-<8 digits>/
        model.safetensors config.json   `from_pretrained` loads the folder
        optimizer.safetensors           every other tensor
        state.json                      everything that is no tensor
        part-<rank>-weights.safetensors, part-<rank>-optimizer.safetensors
                                        in place of the first and third, if ranks hold parts
        manifest.json                   written last

Order is by (phase index, step), never by a clock. What may not live here: what a tensor means.
"""

from lmtrainer.checkpoint.background import BackgroundSaver
from lmtrainer.checkpoint.layout import FOLDER
from lmtrainer.checkpoint.restore import (
    Found,
    find,
    load,
    load_optimizer,
    load_state,
    load_weights,
    newest,
)
from lmtrainer.checkpoint.rotate import SetAside
from lmtrainer.checkpoint.save import save
from lmtrainer.checkpoint.shards import contribute, read_into
from lmtrainer.checkpoint.snapshot import Part, Snapshot, State
from lmtrainer.checkpoint.tensors import read_tensors, write_tensors
from lmtrainer.checkpoint.verify import Checkpoint, verify

__all__ = [
    "FOLDER",
    "BackgroundSaver",
    "Checkpoint",
    "Found",
    "Part",
    "SetAside",
    "Snapshot",
    "State",
    "contribute",
    "find",
    "load",
    "load_optimizer",
    "load_state",
    "load_weights",
    "newest",
    "read_into",
    "read_tensors",
    "save",
    "verify",
    "write_tensors",
]
