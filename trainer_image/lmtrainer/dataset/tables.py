"""Tables of samples on the disk, for texts so large that they should not lie in every process.

Called by `dataset.prepare`, which makes them, and by whoever needs one. A folder `samples-MARK`
beside the dataset holds, for one split and way to cut it, `starts` (int64) and `sizes` (int32),
little-endian. A table of a smaller text, or one that is not there, is made in memory: it is the
same one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lmtrainer.config import RunConfig, fingerprint
from lmtrainer.dataset.hashed import HashedFile
from lmtrainer.dataset.home import DATASET
from lmtrainer.dataset.samples import Cut, Samples, cut_of, samples, stretches
from lmtrainer.dataset.store import Tokens, map_file, open_split
from lmtrainer.durable import (
    MANIFEST_FILE,
    DamagedError,
    FileFact,
    building,
    read_manifest,
    sha256_of,
    verify_manifest,
    write_manifest,
)
from lmtrainer.text.split import SPLITS, Split

FORMAT = 1

LARGE = 1 << 28
"""Tokens of a split from which on its tables lie on the disk."""

START, SIZE = np.dtype("<i8"), np.dtype("<i4")


def build(run: RunConfig, home: Path) -> None:
    """Make the tables that a run needs of the dataset in `home`, unless they are there."""
    splits = {split: open_split(home / DATASET, split) for split in SPLITS}
    wanted = {
        _folder(home / DATASET, split, cut): (tokens, cut)
        for split, tokens in splits.items()
        for cut in _cuts(run, split)
        if len(tokens) >= LARGE
    }
    for folder, (tokens, cut) in wanted.items():
        if not _is_built(folder):
            with building(folder) as beside:
                write_manifest(beside, _write(beside, tokens, cut), format=FORMAT)


def folders(run: RunConfig, home: Path) -> Iterator[Path]:
    """Those of a run that are there."""
    for split in SPLITS:
        for cut in _cuts(run, split):
            folder = _folder(home / DATASET, split, cut)
            if folder.is_dir():
                yield folder


def samples_of(dataset: Path, tokens: Tokens, split: Split, cut: Cut) -> Samples:
    """The samples of a split. DamagedError if a table is not as it was written."""
    folder = _folder(dataset, split, cut) if len(tokens) >= LARGE else None
    if folder is None or not folder.is_dir():
        return samples(tokens.offsets, cut)
    manifest = read_manifest(folder)
    starts = map_file(folder, manifest, "starts", START)
    sizes = map_file(folder, manifest, "sizes", SIZE)
    return Samples(starts[: cut.most], sizes[: cut.most], cut.around, cut.ahead)


def _cuts(run: RunConfig, split: Split) -> list[Cut]:
    """The ways in which the phases of a run cut a split into sequences."""
    if run.data.sequences == "instances":
        return []
    phases = [phase for phase in run.phases if run.objective_of(phase) != "mlm+nsp"]
    return list(dict.fromkeys(cut_of(run, phase, split) for phase in phases))


def _name(split: Split, cut: Cut) -> str:
    parts = dataclasses.astuple(dataclasses.replace(cut, most=None))[:-1]
    return "-".join(map(str, (split, *parts)))


def _folder(dataset: Path, split: Split, cut: Cut) -> Path:
    mark = fingerprint([FORMAT, _name(split, cut), sha256_of(dataset / MANIFEST_FILE)])
    return dataset.with_name(f"samples-{mark[:16]}")


def _is_built(folder: Path) -> bool:
    try:
        verify_manifest(folder)
    except DamagedError:
        return False
    return True


def _write(folder: Path, tokens: Tokens, cut: Cut) -> dict[str, FileFact]:
    with HashedFile(folder / "starts") as starts, HashedFile(folder / "sizes") as sizes:
        for found in stretches(tokens.offset_chunks(), len(tokens), cut):
            starts.write(found.starts.astype(START))
            sizes.write(found.sizes.astype(SIZE))
    return {"starts": starts.fact, "sizes": sizes.fact}
