"""Which runs are the same: hashes of the part of a configuration that decides the weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lmtrainer.config.command import CommandConfig
from lmtrainer.config.run import ResolvedRun, Work
from lmtrainer.config.schema import document

_WITHOUT_WEIGHT = (
    "output",
    "checkpoint",
    "evaluate",
    "threadsPerProcess",
    "configHash",
    "divergence",
    "hangSeconds",
    "parallel",
    "gradientCheckpointing",
    "lossChunks",
    "torchCompile",
)
"""How results are kept and looked at, and how the same sums are computed."""


def identity(config: Work) -> dict[str, Any]:
    """The part of a configuration that decides the weights: runs with equal identities may share an
    output folder. Where results go, how often they are saved or looked at, is not part of it.
    Whether a program of the user's own may go on with what lies there is its own affair."""
    if isinstance(config, CommandConfig):
        return {"program": "command"}
    kept = document(config)
    for name in _WITHOUT_WEIGHT:
        kept.pop(name, None)
    for name in ("cache", "processes", "rebuild", "copyToNode"):
        kept["data"].pop(name, None)
    for phase in kept["phases"]:
        phase.pop("microBatchSize")  # how a batch is cut changes rounding, not the maths
    return dict(kept)


def fingerprint(plain: Any) -> str:
    """sha256 of a plain document in canonical JSON: equal documents, equal fingerprints."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def config_hash(config: Work) -> str:
    """Hash of what decides the weights: the frozen one, where there is one."""
    frozen = config.config_hash if isinstance(config, ResolvedRun) else None
    return frozen or fingerprint(identity(config))
