"""Held-out loss and accuracy, weighted by token, beside the add-one unigram on the same positions.

Sums are kept, not means of means: the result is the same for any batch size and number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.dataset.batches import Batch
from lmtrainer.models.objective import target_logits, to_device
from lmtrainer.models.precision import autocast
from lmtrainer.parallel.exchange import sums
from lmtrainer.parallel.world import World


@dataclass(frozen=True)
class Totals:
    """Sums over the predicted positions."""

    loss: float
    """Negative log-likelihood of the model, nats."""
    baseline: float
    """The same of the unigram."""
    correct: float
    """Positions where the model's first choice is right."""
    predictions: float

    @property
    def mean_loss(self) -> float:
        return self.loss / self.predictions

    @property
    def perplexity(self) -> float:
        return _exp(self.mean_loss)

    @property
    def unigram_perplexity(self) -> float:
        return _exp(self.baseline / self.predictions)

    @property
    def accuracy(self) -> float:
        return self.correct / self.predictions


def unigram_losses(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Negative log-probability of each token id by add-one smoothed counts [vocabulary]."""
    smoothed = counts.astype(np.float64) + 1.0
    losses: NDArray[np.float64] = np.log(smoothed.sum()) - np.log(smoothed)
    return losses


def measure(
    model: Any, rows: Iterable[Batch], run: RunConfig, world: World, unigram: NDArray[np.float64]
) -> Totals:
    """Sums over `rows`, which are this rank's share, and over all ranks."""
    model.eval()
    loss = baseline = correct = predictions = 0.0
    with torch.inference_mode():
        for row in rows:
            batch = to_device(row, world.device)
            with autocast(run, world.device):
                logits = target_logits(model, batch).float()
            loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
            correct += float((logits.argmax(-1) == batch.labels).sum())
            baseline += float(unigram[row.labels].sum())
            predictions += len(row.labels)
    return Totals(*sums(world, astuple(Totals(loss, baseline, correct, predictions))))


def _exp(value: float) -> float:
    """e**value; infinity, not an error, where a float cannot hold it."""
    return math.exp(value) if value < 700 else math.inf
