"""A packed row: what the loader hands to the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Batch:
    """S sequences packed end to end in one row: T tokens, M of them to predict."""

    tokens: NDArray[np.int64]
    """[T] what the model sees"""
    positions: NDArray[np.int64]
    """[T] from 0 in each sequence"""
    lengths: tuple[int, ...]
    """of the sequences; their sum is T"""
    targets: NDArray[np.int64]
    """[M] places in the row, ascending"""
    labels: NDArray[np.int64]
    """[M] the right token at each target"""
    segments: NDArray[np.int64] | None = None
    """[T] of pairs: 0 in the first part of each sequence, 1 in the second"""
    pair_labels: NDArray[np.int64] | None = None
    """[S] of pairs: 1 where the second part is a random one, 0 where it follows the first"""
