"""Held-out loss and accuracy, weighted by token, beside the add-one unigram on the same positions.

Sums are kept, not means of means: the result is the same for any batch size and number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.dataset.batches import Batch
from lmtrainer.models.objective import scores, to_device
from lmtrainer.models.precision import autocast
from lmtrainer.parallel.exchange import sums
from lmtrainer.parallel.world import World


@dataclass(frozen=True)
class Totals:
    """Sums over the predicted positions, and over pairs of sentences where there are any."""

    loss: float
    """Negative log-likelihood of the model, nats."""
    baseline: float
    """The same of the unigram."""
    correct: float
    """Positions where the model's first choice is right."""
    predictions: float
    pair_loss: float = 0.0
    """Negative log-likelihood of the labels of the pairs, nats."""
    pairs_right: float = 0.0
    """Pairs whose label the model finds likelier."""
    pairs: float = 0.0

    @property
    def mean_loss(self) -> float:
        """Of a predicted position."""
        return self.loss / self.predictions

    @property
    def mean_pair_loss(self) -> float:
        return self.pair_loss / self.pairs if self.pairs else 0.0

    @property
    def joint_loss(self) -> float:
        """What training minimises: both means."""
        return self.mean_loss + self.mean_pair_loss

    @property
    def pair_accuracy(self) -> float | None:
        """None without pairs."""
        return self.pairs_right / self.pairs if self.pairs else None

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
    found = np.zeros(len(astuple(Totals(0, 0, 0, 0))))
    with torch.inference_mode():
        for row in rows:
            found += astuple(_of_row(model, _wanted(row, run), run, world, unigram))
    return Totals(*sums(world, found.tolist()))


def _wanted(row: Batch, run: RunConfig) -> Batch:
    return replace(row, pair_labels=None) if run.evaluate.only_mlm else row


def _of_row(
    model: Any, row: Batch, run: RunConfig, world: World, unigram: NDArray[np.float64]
) -> Totals:
    batch = to_device(row, world.device)
    with autocast(run, world.device):
        found = scores(model, batch)
    words = found.words.float()
    totals = Totals(
        loss=float(F.cross_entropy(words, batch.labels, reduction="sum")),
        baseline=float(unigram[row.labels].sum()),
        correct=float((words.argmax(-1) == batch.labels).sum()),
        predictions=len(row.labels),
    )
    if found.pairs is None or batch.pair_labels is None:
        return totals
    pairs = found.pairs.float()
    return replace(
        totals,
        pair_loss=float(F.cross_entropy(pairs, batch.pair_labels, reduction="sum")),
        pairs_right=float((pairs.argmax(-1) == batch.pair_labels).sum()),
        pairs=len(batch.pair_labels),
    )


def _exp(value: float) -> float:
    """e**value; infinity, not an error, where a float cannot hold it."""
    return math.exp(value) if value < 700 else math.inf
