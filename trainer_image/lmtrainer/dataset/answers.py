"""What is to be predicted of ready-made instances, beside their tokens in the store.

A shard of instances has two more files: NAME.marks, for each document (an instance) where its
targets end, how many tokens its first segment has, and its label; NAME.targets, end to end, places
in their instance and the right ids. Written by `dataset.writing`, read by `instancepacking`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmtrainer.dataset.facts import Shard, facts_of
from lmtrainer.dataset.hashed import HashedFile
from lmtrainer.dataset.store import map_file
from lmtrainer.durable import DamagedError, FileFact, read_manifest
from lmtrainer.text.instances import Instance
from lmtrainer.text.split import Split

MARK = np.dtype([("end", "<u8"), ("first", "<u4"), ("is_random", "u1")])
TARGET = np.dtype([("place", "<u4"), ("label", "<u4")])

Ints = NDArray[np.int64]


class AnswersWriter:
    """Writes the answers of one shard."""

    def __init__(self, folder: Path, shard: Shard, stack: ExitStack) -> None:
        self._names = shard.marks_file, shard.targets_file
        self._marks, self._targets = (
            stack.enter_context(HashedFile(folder / name)) for name in self._names
        )
        self.targets = 0

    def write(self, instances: Sequence[Instance]) -> None:
        counts = [len(instance.places) for instance in instances]
        marks = np.empty(len(instances), dtype=MARK)
        marks["end"] = [self.targets + end for end in itertools.accumulate(counts)]
        marks["first"] = [instance.first for instance in instances]
        marks["is_random"] = [instance.is_random for instance in instances]
        targets = np.empty(sum(counts), dtype=TARGET)
        if instances:
            targets["place"] = np.concatenate([instance.places for instance in instances])
            targets["label"] = np.concatenate([instance.labels for instance in instances])
        self._marks.write(marks)
        self._targets.write(targets)
        self.targets += len(targets)

    @property
    def files(self) -> dict[str, FileFact]:
        return dict(zip(self._names, (self._marks.fact, self._targets.fact), strict=True))


@dataclass(frozen=True, eq=False)
class Found:
    """The answers of N instances with M targets in all."""

    firsts: Ints
    """[N] tokens of the first segment"""
    is_random: Ints
    """[N]"""
    counts: Ints
    """[N] targets"""
    places: Ints
    """[M] in their instance"""
    labels: Ints
    """[M]"""


class Answers:
    """The answers of one split, memory mapped."""

    def __init__(self, marks: Sequence[NDArray[np.void]], targets: Sequence[NDArray[np.void]]):
        self._marks, self._targets = marks, targets
        self._starts = np.array([0, *itertools.accumulate(map(len, marks))])

    def of(self, numbers: Ints) -> Found:
        """Of the instances with these numbers, in this order."""
        found = np.empty(len(numbers), dtype=MARK)
        begins = np.zeros(len(numbers), dtype=np.int64)
        shards = np.searchsorted(self._starts, numbers, side="right") - 1
        for shard in np.unique(shards):
            here = np.flatnonzero(shards == shard)
            own = numbers[here] - self._starts[shard]
            found[here] = self._marks[shard][own]
            later = own > 0
            begins[here[later]] = self._marks[shard]["end"][own[later] - 1]
        counts = found["end"].astype(np.int64) - begins
        parts = [
            self._targets[shard][begin : begin + count]
            for shard, begin, count in zip(
                shards.tolist(), begins.tolist(), counts.tolist(), strict=True
            )
        ]
        targets = np.concatenate([np.empty(0, dtype=TARGET), *parts])
        return Found(
            found["first"].astype(np.int64),
            found["is_random"].astype(np.int64),
            counts,
            targets["place"].astype(np.int64),
            targets["label"].astype(np.int64),
        )


def open_answers(folder: Path, split: Split) -> Answers:
    """Map the answers of a split into memory. DamagedError if a file is missing or does not fit."""
    manifest = read_manifest(folder)
    marks, targets = [], []
    for shard in facts_of(manifest).shards(split):
        marks.append(map_file(folder, manifest, shard.marks_file, MARK))
        targets.append(map_file(folder, manifest, shard.targets_file, TARGET))
        fits = len(marks[-1]) == shard.documents and len(targets[-1]) == shard.targets
        if not fits or (len(marks[-1]) and marks[-1]["end"][-1] != shard.targets):
            raise DamagedError(f"{shard.marks_file} does not fit {shard.targets_file}")
    return Answers(marks, targets)
