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
from torch import Tensor

from lmtrainer.config import RunConfig
from lmtrainer.config.scores import scores_at_once
from lmtrainer.dataset.batches import Batch
from lmtrainer.models.objective import pair_scores, target_hidden, to_device, word_scores
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
        targets, first = target_hidden(model, batch)
        pairs = pair_scores(model, first)
        loss, correct = _of_words(model, targets, batch.labels, run)
    totals = Totals(
        loss=loss,
        baseline=float(unigram[row.labels].sum()),
        correct=correct,
        predictions=len(row.labels),
    )
    if pairs is None or batch.pair_labels is None:
        return totals
    pairs = pairs.float()
    return replace(
        totals,
        pair_loss=float(F.cross_entropy(pairs, batch.pair_labels, reduction="sum")),
        pairs_right=float((pairs.argmax(-1) == batch.pair_labels).sum()),
        pairs=len(batch.pair_labels),
    )


def _of_words(model: Any, targets: Tensor, labels: Tensor, run: RunConfig) -> tuple[float, float]:
    """Summed loss and right first choices. Scores are made a part at a time and not kept, so that
    memory depends neither on the text nor on the length of a sequence."""
    at_once = scores_at_once(len(labels), model.config.vocab_size, run.loss_chunks)
    loss = correct = 0.0
    for start in range(0, len(labels), at_once):
        part = slice(start, start + at_once)
        words = word_scores(model, targets[part]).float()
        loss += float(F.cross_entropy(words, labels[part], reduction="sum"))
        correct += float((words.argmax(-1) == labels[part]).sum())
    return loss, correct


def _exp(value: float) -> float:
    """e**value; infinity, not an error, where a float cannot hold it."""
    return math.exp(value) if value < 700 else math.inf
