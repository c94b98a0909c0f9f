"""A permutation as a function of a key. Called by `dataset.order` and `dataset.weighting`.

Of up to SORTED numbers it is made by sorting random numbers, of more without a table: a network of
Feistel over the next power of four, walked along until it comes back below the number (Black and
Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from lmtrainer.randomness import bits, derive

SORTED = 1 << 24
"""Numbers whose permutation is a table: 128 MiB."""

ROUNDS = 7


def permuted(key: int, size: int) -> NDArray[np.int64]:
    """The numbers from 0 to size - 1, shuffled by sorting random numbers."""
    order = np.argsort(bits(key, np.arange(size)), kind="stable")
    order.flags.writeable = False
    return order


_table = functools.lru_cache(maxsize=8)(permuted)


def at(key: int, size: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """What stands in these places of the permutation of `size` numbers."""
    return _table(key, size)[places] if size <= SORTED else walked(key, size, places)


def walked(key: int, size: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same without a table: memory depends on the number of places alone."""
    half = np.uint64(max(1, (size - 1).bit_length() + 1 >> 1))
    keys = [derive(key, number) for number in range(ROUNDS)]
    found = _feistel(keys, half, places.astype(np.uint64))
    while (outside := found >= size).any():
        found[outside] = _feistel(keys, half, found[outside])
    return found.astype(np.int64)


def _feistel(keys: list[int], half: np.uint64, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = numbers >> half, numbers & mask
    for key in keys:
        left, right = right, left ^ (bits(key, right) & mask)
    return left << half | right
