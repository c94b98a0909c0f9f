"""Computes again in backward what would have to be kept from forward: less memory, more time.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost" (arXiv 1604.06174). Dropout is
drawn alike both times, so gradients are the same.
"""

from __future__ import annotations

from typing import Any

from lmtrainer.config import RunConfig


def spare(model: Any, run: RunConfig) -> None:
    """Keep only the input of each layer if the run asks for it."""
    if run.gradient_checkpointing:
        # transformers renamed it in 5.23 and warns of the old name.
        renamed = getattr(model, "activation_checkpointing_enable", None)
        (renamed or model.gradient_checkpointing_enable)({"use_reentrant": False})
