"""Which optimizer a configuration asks for, and which parameters it treats alike."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.optim.lamb import Lamb


def build(
    model: nn.Module,
    config: OptimizerConfig,
    *,
    seed: int = 0,
    only: Collection[nn.Parameter] | None = None,
) -> Optimizer:
    """The optimizer of a resolved configuration; its learning rate is set at each step. `seed`
    decides how weights in a short format are rounded. `only`: parameters that it moves, if not
    all."""
    assert config.weight_decay is not None, "the plan resolves it"
    groups = list(_groups(model, config, config.weight_decay))
    if only is not None:
        groups = [
            {**group, "params": [p for p in group["params"] if p in only]} for group in groups
        ]
    options: dict[str, Any] = {"betas": (config.beta1, config.beta2), "eps": config.epsilon}
    short = any(p.dtype != torch.float32 for p in model.parameters())
    if config.type == "lamb" or not config.bias_correction or short:
        optimizer = Lamb(groups, bias_correction=config.bias_correction, seed=seed, **options)
        optimizer.numbers = {p: number for number, p in enumerate(model.parameters())}
        return optimizer
    kind = torch.optim.Adam if config.type == "adam" else torch.optim.AdamW
    return kind(groups, lr=0.0, fused=True, **options)


def _groups(
    model: nn.Module, config: OptimizerConfig, weight_decay: float
) -> Iterator[dict[str, Any]]:
    """Matrices and embeddings are decayed; vectors are not. `trust`: LAMB scales the update by the
    ratio of norms, which it does not for biases: most of them begin at 0, where no ratio is."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for _, p in named if p.ndim >= 2]
    biases = [p for name, p in named if p.ndim < 2 and name.endswith("bias")]
    norms = [p for name, p in named if p.ndim < 2 and not name.endswith("bias")]
    trust = config.type == "lamb"
    yield {"params": matrices, "weight_decay": weight_decay, "trust": trust}
    if trust:
        yield {"params": biases, "weight_decay": 0.0, "trust": False}
        yield {"params": norms, "weight_decay": 0.0, "trust": True}
    else:
        vectors = [p for _, p in named if p.ndim < 2]
        yield {"params": vectors, "weight_decay": 0.0, "trust": False}
