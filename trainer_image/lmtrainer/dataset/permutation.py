"""A permutation as a function of a key. Called by `dataset.order` and `dataset.weighting`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lmtrainer.randomness import bits


def permuted(key: int, size: int) -> NDArray[np.int64]:
    """The numbers from 0 to size - 1, shuffled by sorting random numbers."""
    order = np.argsort(bits(key, np.arange(size)), kind="stable")
    order.flags.writeable = False
    return order
