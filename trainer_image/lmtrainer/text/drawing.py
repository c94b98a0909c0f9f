"""Where some of a text lies that is drawn evenly at random over all of it: what a tokenizer is
trained on that is not to be trained on everything.

Called by the preparation of data. The text is cut into strata of equal size, and somewhere in each
lies one window, all of one size (stratified sampling; Cochran, "Sampling Techniques", chapter 5):
so each file and location has its share, and where the windows lie depends on seed and sizes alone.
What is read of them is the business of `text.excerpts`.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from lmtrainer.randomness import Purpose, derive, uniform
from lmtrainer.text.files import TextFile, size_of

PLACES = 4096
"""Most windows: each is found, opened and read by itself."""

SMALLEST = 64 << 10
"""Bytes of a window, as long as there are not too many: some documents."""


class Window(NamedTuple):
    """Some bytes of a file, cut where no document need begin or end."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


Windows = Mapping[TextFile, Sequence[Window]]
"""By the files or stretches in which they lie, in their order."""


def draw(files: Sequence[TextFile], most: int, seed: int) -> Windows:
    """Windows of about `most` bytes in all over files; nearly all of them, if they have no more."""
    sizes = [size_of(file) for file in files]
    ends = list(itertools.accumulate(sizes))
    found: dict[TextFile, list[Window]] = {}
    for begin, end in _places(ends[-1], min(most, ends[-1]), seed):
        number = bisect.bisect_right(ends, begin)
        while begin < end:
            first, last = ends[number] - sizes[number], min(end, ends[number])
            if begin < last:
                found.setdefault(files[number], []).append(Window(begin - first, last - first))
            begin, number = last, number + 1
    return found


def _places(total: int, most: int, seed: int) -> Iterator[tuple[int, int]]:
    count = min(max(most // SMALLEST, 1), PLACES)
    size = most // count
    chances = uniform(derive(seed, Purpose.SENTENCES), range(count)).tolist()
    for number, chance in enumerate(chances):
        low, high = total * number // count, total * (number + 1) // count
        begin = low + int(chance * (high - low - size + 1))
        yield begin, begin + size


def total(windows: Iterable[Window]) -> int:
    """Bytes of all of them."""
    return sum(window.size for window in windows)
