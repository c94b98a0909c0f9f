"""The form of a dataset on the disk, and what its manifest says of it.

A folder with a manifest and, for each split, shards. A shard is two raw files, little-endian:
NAME.tokens holds ids (uint16, or uint32 for more than 65,536 of them), NAME.offsets where its
documents begin in it (uint64, one more than documents). A dataset for pairs of sentences has a
third one, NAME.sentences: where sentences begin in it (uint64, one more than sentences); a document
begins where a sentence does. `train.counts` holds how often each id occurs in the training split
(int64, one per id). Written by `dataset.writing`, opened by `dataset.store`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lmtrainer.config import MistakesError, parse
from lmtrainer.durable import DamagedError, Manifest
from lmtrainer.text.split import Split

FORMAT = 1
COUNTS_FILE = "train.counts"

OFFSET = np.dtype("<u8")
COUNT = np.dtype("<i8")


def id_type(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What the manifest says of one shard."""

    name: str
    documents: int
    tokens: int
    sentences: int | None = None
    """None where they were not asked for."""
    targets: int | None = None
    """Of ready-made instances; None where the documents are text."""
    source: int = 0
    """Which location of the text it is from, where they have weights."""

    @property
    def tokens_file(self) -> str:
        return f"{self.name}.tokens"

    @property
    def offsets_file(self) -> str:
        return f"{self.name}.offsets"

    @property
    def sentences_file(self) -> str:
        return f"{self.name}.sentences"

    @property
    def marks_file(self) -> str:
        return f"{self.name}.marks"

    @property
    def targets_file(self) -> str:
        return f"{self.name}.targets"

    @property
    def files(self) -> tuple[str, ...]:
        recorded = () if self.sentences is None else (self.sentences_file,)
        answers = () if self.targets is None else (self.marks_file, self.targets_file)
        return (self.tokens_file, self.offsets_file, *recorded, *answers)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the manifest says of a dataset."""

    format: int
    fingerprint: str
    """Of everything that the dataset was made from."""
    tokenizer: str
    """sha256 of the manifest of the tokenizer."""
    dtype: Literal["uint16", "uint32"]
    vocab_size: int
    sources: int = 1
    """Locations of the text that are told apart."""
    train: tuple[Shard, ...]
    validation: tuple[Shard, ...]

    def shards(self, split: Split) -> tuple[Shard, ...]:
        return self.train if split == "train" else self.validation


def facts_of(manifest: Manifest) -> Facts:
    """The facts of a dataset's manifest; DamagedError if it is of something else or of a newer
    format."""
    try:
        facts = parse(Facts, manifest.facts)
    except MistakesError as fault:
        raise DamagedError(f"the manifest is not one of a dataset: {fault.mistakes[0]}") from fault
    if facts.format != FORMAT:
        raise DamagedError(f"the dataset has format {facts.format}, this lmtrainer {FORMAT}")
    return facts
