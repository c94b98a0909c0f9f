"""What both sides of the benchmark of training steps compute, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

WARM_UP = 3
RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What both sides train."""

    family: Literal["bert", "gpt2"] = "bert"
    preset: str = "mini"
    lengths: Literal["mixed", "blocks"] = "mixed"
    """Documents as they are, or full sequences only."""
    length: int = 128
    batch: int = 32
    precision: Literal["fp32", "bf16"] = "fp32"
    peer_precision: Literal["fp32", "bf16"] = "fp32"
    peer_micro_batch: int | None = None
    """Sequences that HF Trainer computes at once; all of the batch unless given."""
    device: Literal["cpu", "cuda"] = "cpu"

    @property
    def vocabulary(self) -> int:
        return 30522 if self.family == "bert" else 50257


def config_of(setting: Setting, steps: int) -> dict[str, Any]:
    blocks = {"sequences": "blocks"} if setting.lengths == "blocks" else {}
    return {
        "data": {"train": ["sample://jargon"], **blocks},
        "tokenizer": {"train": {"vocabSize": setting.vocabulary, "minFrequency": 1}},
        "model": {
            "type": setting.family,
            "preset": setting.preset,
            "config": {"dropout": 0, "attentionDropout": 0},
        },
        "phases": [
            {
                "name": "bench",
                "steps": steps,
                "sequenceLength": setting.length,
                "globalBatchSize": setting.batch,
                "microBatchSize": setting.batch,
                "learningRate": RATE,
                "warmupSteps": 0,
            }
        ],
        "output": {"to": "unused"},
    }


def settle(device: str) -> None:
    """Wait for what a GPU still computes."""
    if device == "cuda":
        torch.cuda.synchronize()
