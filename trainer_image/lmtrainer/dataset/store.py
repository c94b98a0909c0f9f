"""A dataset as every stage opens it, memory mapped: ids end to end, and where documents begin.

Its files are those that `dataset.facts` tells of.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmtrainer.dataset.facts import (
    COUNT,
    COUNTS_FILE,
    OFFSET,
    Facts,
    Shard,
    facts_of,
    id_type,
)
from lmtrainer.durable import DamagedError, Manifest, read_manifest
from lmtrainer.text.split import Split

LONG = 256
"""Tokens from which on stretches are copied one by one: then a slice costs less than an index."""

CHUNK = 1 << 20
"""Documents that are looked at at once."""

SPARE_FILES = 512
"""Files that a process has open beside those of a dataset, at most."""

Ids = NDArray[np.unsignedinteger[Any]]
Ints = NDArray[np.int64]


class Tokens:
    """One split, read only. Shards are an affair of the disk: positions run through the split."""

    def __init__(
        self,
        shards: Sequence[Ids],
        begins: Sequence[NDArray[np.uint64]],
        sources: Sequence[int] = (0,),
    ) -> None:
        self._shards = shards
        self._begins = begins
        self.sources = sources
        """Where the text of each location begins."""
        self._starts = [0, *itertools.accumulate(map(len, shards))]

    @functools.cached_property
    def offsets(self) -> Ints:
        """int64 [documents + 1]: where documents begin, and the end of the last one; all of them in
        memory."""
        parts = [chunk[1:] for chunk in self.offset_chunks()]
        return np.concatenate([np.zeros(1, dtype=np.int64), *parts])

    def offset_chunks(self) -> Iterator[Ints]:
        """The same, some documents at a time; each array begins where the one before it ends."""
        for start, begins in zip(self._starts, self._begins, strict=False):
            for first in range(0, len(begins) - 1, CHUNK):
                yield begins[first : first + CHUNK + 1].astype(np.int64) + start

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def documents(self) -> int:
        return sum(len(begins) - 1 for begins in self._begins)

    def copy(self, start: int, out: Ints) -> None:
        """Fill `out` with the ids from position `start` on."""
        index = bisect.bisect_right(self._starts, start) - 1
        while len(out):
            begin = start - self._starts[index]
            part = self._shards[index][begin : begin + len(out)]
            out[: len(part)] = part
            start, out, index = start + len(part), out[len(part) :], index + 1

    def copy_all(self, starts: Ints, sizes: Ints, places: Ints, row: Ints) -> None:
        """Copy stretch i, `sizes[i]` ids from position `starts[i]` on, to row[places[i]]."""
        if sizes.sum() > LONG * len(sizes) or not self._copy_short(starts, sizes, places, row):
            for start, size, place in zip(
                starts.tolist(), sizes.tolist(), places.tolist(), strict=True
            ):
                self.copy(start, row[place : place + size])

    def _copy_short(self, starts: Ints, sizes: Ints, places: Ints, row: Ints) -> bool:
        """All at once, shard by shard. False if a stretch reaches over the end of its shard."""
        bounds = np.array(self._starts)
        shards = np.searchsorted(bounds, starts, side="right") - 1
        if (starts + sizes > bounds[np.minimum(shards + 1, len(bounds) - 1)]).any():
            return False
        for shard in set(shards.tolist()):
            here = shards == shard
            count = sizes[here]
            ends = np.cumsum(count)
            number, first = np.arange(ends[-1]), ends - count
            wanted = number + np.repeat(starts[here] - bounds[shard] - first, count)
            row[number + np.repeat(places[here] - first, count)] = self._shards[shard][wanted]
        return True


def open_split(folder: Path, split: Split) -> Tokens:
    """Map a split into memory. DamagedError if a file is missing or has another size than the
    manifest says, or if documents do not fill their shard; contents are not read through."""
    manifest = read_manifest(folder)
    facts = facts_of(manifest)
    kind = id_type(facts.vocab_size)
    _allow_files(len(manifest.files))
    shards: list[Ids] = []
    offsets: list[NDArray[np.uint64]] = []
    for shard in facts.shards(split):
        ids = map_file(folder, manifest, shard.tokens_file, kind)
        begins = map_file(folder, manifest, shard.offsets_file, OFFSET)
        _check_shard(shard, len(ids), begins)
        offsets.append(begins)
        shards.append(ids)
    return Tokens(shards, offsets, _sources(facts, split))


def _allow_files(count: int) -> None:
    """A mapped file stays open, and in the end all of a dataset are. Where so many may be open only
    if asked for, ask."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_FILES
    if resource.RLIM_INFINITY != soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _sources(facts: Facts, split: Split) -> list[int]:
    sizes = [0] * facts.sources
    for shard in facts.shards(split):
        sizes[shard.source] += shard.tokens
    return [0, *itertools.accumulate(sizes[:-1])]


def open_sentences(folder: Path, split: Split) -> list[NDArray[np.uint64]]:
    """Where sentences begin in each shard of a split [sentences + 1], in tokens of the shard;
    memory mapped. DamagedError as for `open_split`, and if sentences were not asked for."""
    manifest = read_manifest(folder)
    found: list[NDArray[np.uint64]] = []
    for shard in facts_of(manifest).shards(split):
        begins = map_file(folder, manifest, shard.sentences_file, OFFSET)
        if len(begins) != (shard.sentences or 0) + 1 or begins[0] != 0:
            raise DamagedError(f"{shard.sentences_file} does not fit its shard")
        if begins[-1] != shard.tokens:
            raise DamagedError(f"{shard.sentences_file} does not fit {shard.tokens_file}")
        found.append(begins)
    return found


def open_counts(folder: Path) -> Ints:
    """How often each id occurs in the training split, int64 [vocabulary]. DamagedError."""
    manifest = read_manifest(folder)
    counts: Ints = map_file(folder, manifest, COUNTS_FILE, COUNT).astype(np.int64)
    if len(counts) != facts_of(manifest).vocab_size:
        raise DamagedError(f"{COUNTS_FILE} has {len(counts)} counts, not one per id")
    return counts


def map_file(folder: Path, manifest: Manifest, name: str, kind: np.dtype[Any]) -> NDArray[Any]:
    """Map a file of a folder into memory. DamagedError if it is not as the manifest says."""
    if name not in manifest.files:
        raise DamagedError(f"{folder.name}: the manifest does not name {name}")
    expected = manifest.files[name].size
    try:
        size = (folder / name).stat().st_size
    except OSError:
        raise DamagedError(f"{folder.name}: {name} is missing") from None
    if size != expected or size % kind.itemsize:
        raise DamagedError(f"{folder.name}: {name} has {size} bytes, not {expected}")
    if not size:
        return np.empty(0, dtype=kind)
    # A view without the class memmap, which makes every slice slow.
    return np.asarray(np.memmap(folder / name, dtype=kind, mode="r"))


def _check_shard(shard: Shard, tokens: int, begins: NDArray[np.uint64]) -> None:
    whole = tokens == shard.tokens and len(begins) == shard.documents + 1
    if not whole or begins[0] != 0 or begins[-1] != tokens or (begins[1:] <= begins[:-1]).any():
        raise DamagedError(f"{shard.offsets_file} does not fit {shard.tokens_file}")
