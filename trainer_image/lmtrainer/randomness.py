"""Random numbers that are functions of (key, counter): no generator, no state, nothing to save.

Everything random about the data comes from here, keyed by seed, purpose, epoch and global index, so
that any number of processes, in any order, from any step, sees the same data. Called by `text` (the
held-out share), `dataset` (order and masks) and whoever needs a seed of its own.

The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable
Pseudorandom Number Generators", OOPSLA 2014, in the variant of Stafford); the scheme, a hash of key
and counter, is that of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import copy
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_ALL = 2**64 - 1


class Purpose(IntEnum):
    """What a key is for: equal seeds never give equal numbers to two purposes. The numbers are
    part of what a seed means, so none is ever given anew."""

    HELD_OUT = 1
    ORDER = 2
    MASKS = 3
    EVALUATION = 5
    SENTENCES = 16
    PAIRS = 8


def derive(*parts: int) -> int:
    """A key out of whole numbers, in order: a seed for one purpose. In [0, 2**64)."""
    key = _mix(len(parts) + _GOLDEN & _ALL)
    for part in parts:
        key = _mix(key ^ _mix(part + _GOLDEN & _ALL))
    return key


def bits(key: int | NDArray[np.uint64], counters: ArrayLike) -> NDArray[np.uint64]:
    """64 random bits for each counter. `key` may be an array that broadcasts with the counters."""
    return Counters(counters).bits(key)


def uniform(key: int | NDArray[np.uint64], counters: ArrayLike) -> NDArray[np.float64]:
    """A number in [0, 1) for each counter, in steps of 2**-53."""
    return Counters(counters).uniform(key)


class Counters:
    """Counters from which numbers are drawn with several keys: half of the work is done once."""

    def __init__(self, counters: ArrayLike) -> None:
        self._mixed = _mix_array(np.atleast_1d(counters).astype(np.uint64) + np.uint64(_GOLDEN))

    def __getitem__(self, which: NDArray[np.int64]) -> Counters:
        """Some of them."""
        found = copy.copy(self)
        found._mixed = self._mixed[which]
        return found

    def bits(self, key: int | NDArray[np.uint64]) -> NDArray[np.uint64]:
        """As `bits`."""
        return _mix_array(self._mixed ^ np.asarray(key, dtype=np.uint64))

    def uniform(self, key: int | NDArray[np.uint64]) -> NDArray[np.float64]:
        """As `uniform`."""
        return (self.bits(key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(value: int) -> int:
    value = (value ^ value >> 30) * _FIRST & _ALL
    value = (value ^ value >> 27) * _SECOND & _ALL
    return value ^ value >> 31


def _mix_array(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The same of an array, which is left as it was; as few new ones as can be."""
    shifted = values >> np.uint64(30)
    values = values ^ shifted
    for factor, shift in ((_FIRST, 27), (_SECOND, 31)):
        values *= np.uint64(factor)
        np.right_shift(values, np.uint64(shift), out=shifted)
        values ^= shifted
    return values
