"""Which stretch of the text is which training example. Called by `dataset.batches`.

A sample's number is its place in the table; it depends on the dataset, the sequence length and how
text is cut alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.config.data import LongSentences, Sequences
from lmtrainer.config.model import Objective
from lmtrainer.config.phase import Phase
from lmtrainer.dataset import cutting
from lmtrainer.text.split import Split

AROUND: dict[Objective, int] = {"mlm": 2, "clm": 0}
"""Special tokens that are put around a stretch when it is loaded."""


@dataclass(frozen=True)
class Cut:
    """How text is cut."""

    length: int
    """Most tokens of a sequence, special tokens included."""
    objective: Objective
    sequences: Sequences = "documents"
    long_sentences: LongSentences = "split"
    most: int | None = None
    """Sequences beyond these are left out."""

    @property
    def around(self) -> int:
        """Special tokens around a stretch. Those of `groups` are in the text, around each
        document."""
        return 0 if self.sequences == "groups" else AROUND[self.objective]

    @property
    def ahead(self) -> bool:
        """Does the last token of a stretch predict the one behind it?"""
        return self.sequences == "stream"

    @property
    def room(self) -> int:
        """Most tokens of a stretch."""
        return self.length - self.around


@dataclass(frozen=True, eq=False)
class Samples:
    """The table: stretch i has `sizes[i]` tokens from position `starts[i]` of its split on. It lies
    in memory or, where it is large, on the disk."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.integer[Any]]
    around: int
    """Special tokens to put around each."""
    ahead: bool = False
    """The last token of a stretch predicts the one behind it."""

    def sizes_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of text of the samples with these numbers."""
        return self.sizes[numbers].astype(np.int64)

    def lengths_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of the sequences that the model sees, special tokens included."""
        return self.sizes_of(numbers) + self.around

    def __len__(self) -> int:
        return len(self.starts)


def cut_of(run: RunConfig, phase: Phase, split: Split = "train") -> Cut:
    """How a phase of a resolved run cuts the text of a split."""
    data = run.data
    return Cut(
        phase.sequence_length,
        run.objective_of(phase),
        data.sequences or "documents",
        data.long_sentences or "split",
        data.max_sequences if split == "train" else data.validation.max_sequences,
    )


def samples(offsets: NDArray[np.int64], cut: Cut) -> Samples:
    """Cut a split, given where its documents begin [documents + 1], into samples."""
    found = list(stretches([offsets], int(offsets[-1]), cut))
    nothing = np.empty(0, dtype=np.int64)
    starts = np.concatenate([nothing, *(part.starts for part in found)])
    sizes = np.concatenate([nothing, *(part.sizes for part in found)])
    return Samples(starts[: cut.most], sizes[: cut.most], cut.around, cut.ahead)


def stretches(
    chunks: Iterable[NDArray[np.int64]], tokens: int, cut: Cut
) -> Iterator[cutting.Stretches]:
    """The stretches of a split of so many tokens, some at a time, all but for the cap.

    documents: for mlm each in nearly equal parts, for clm all of them as one stream in which each
    ends in its end token. blocks and groups: full sequences only. stream: blocks for clm, in which
    every token is predicted, the first of a block by the last one before it. lines, sentences: see
    `cutting`. Where there is nothing to predict in a stretch, it is left out.
    """
    for found in _stretches(chunks, tokens, cut):
        if cut.objective == "clm" and not cut.ahead:
            enough = found.sizes > 1
            yield cutting.Stretches(found.starts[enough], found.sizes[enough])
        else:
            yield found


def _stretches(
    chunks: Iterable[NDArray[np.int64]], tokens: int, cut: Cut
) -> Iterator[cutting.Stretches]:
    room = cut.room
    if cut.sequences == "blocks":
        return cutting.blocks(tokens, room)
    if cut.sequences == "stream":
        return cutting.blocks(max(tokens - 1, 0), room)
    if cut.sequences == "groups":
        return cutting.groups(chunks, room)
    if cut.sequences == "lines":
        return cutting.lines(chunks, room)
    if cut.sequences == "sentences":
        return cutting.sentences(chunks, room, split=cut.long_sentences == "split")
    if cut.objective == "clm":
        return cutting.stream_with_tail(tokens, room)
    return cutting.documents(chunks, room)
