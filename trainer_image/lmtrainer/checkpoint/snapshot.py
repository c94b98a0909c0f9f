"""What a checkpoint holds: tensors, the model's configuration, and everything that is no tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

import lmtrainer
from lmtrainer.config.schema import setting
from lmtrainer.contract.output import MODEL_CONFIG_FILE, WEIGHTS_FILE
from lmtrainer.contract.reports import Position

OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
FILES = frozenset({WEIGHTS_FILE, MODEL_CONFIG_FILE, OPTIMIZER_FILE, STATE_FILE})
FILES_BESIDE_PARTS = frozenset({MODEL_CONFIG_FILE, STATE_FILE})


def running_versions() -> dict[str, str]:
    """The software that is running; a resumed run can say what has changed."""
    return {
        "lmtrainer": lmtrainer.__version__,
        "torch": str(torch.__version__),
        "transformers": version("transformers"),
    }


@dataclass(frozen=True, kw_only=True)
class State:
    """`state.json`. Numbers come back bit for bit; a number that is not finite is refused."""

    version: int = 1
    position: Position
    """Optimizer steps done."""
    job_uid: str
    attempt: int
    config_hash: str
    world_size: int
    tokens_seen: int = 0
    """Real tokens since the beginning of the run, over all ranks."""
    epoch: int = 0
    """Of its phase, from 0, in which the last step began."""
    held_out_loss: float | None = None
    """As measured at this very step; None if it was not."""
    versions: Mapping[str, str] = setting(running_versions, "software that wrote it")
    trainer: Mapping[str, Any] = setting(dict, "free form, JSON: data position, schedule, ...")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Which part of the whole state a snapshot is."""

    rank: int
    ranks: int
    offsets: Mapping[str, tuple[int, ...]]
    """Where each tensor begins in the whole one of its name."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of training at one position, in memory."""

    state: State
    weights: Mapping[str, Tensor]
    """The model's state dict; names that share a tensor are stored once and come back shared."""
    optimizer: Mapping[str, Tensor]
    """Every other tensor under a name of the caller's: moments, states of random generators."""
    model_config: str
    """`config.json` of the model, so that transformers loads the folder."""
    part: Part | None = None
    """None if this is all there is."""
