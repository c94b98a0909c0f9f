"""Several datasets as one: the shards of the first, then those of the second, and so on.

Called by `dataset.sharding`. Nothing is read or copied where the file system knows hard links, so
that the parts stay whole until the result is.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lmtrainer.dataset.facts import COUNT, COUNTS_FILE, Facts, Shard, facts_of
from lmtrainer.dataset.hashed import HashedFile
from lmtrainer.dataset.store import open_counts
from lmtrainer.durable import FileFact, Manifest, read_manifest, write_manifest
from lmtrainer.text.split import SPLITS, Split

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})


def merge(parts: Sequence[Path], folder: Path) -> str:
    """Put the shards of datasets of one fingerprint, tokenizer and vocabulary into an empty folder;
    returns the sha256 of its manifest. DamagedError if a part is none."""
    files: dict[str, FileFact] = {}
    shards: dict[Split, list[Shard]] = {split: [] for split in SPLITS}
    manifests = [read_manifest(part) for part in parts]
    facts = [facts_of(manifest) for manifest in manifests]
    for part, manifest, known in zip(parts, manifests, facts, strict=True):
        for split in SPLITS:
            for shard in known.shards(split):
                name = f"{split}-{len(shards[split]):05d}"
                shards[split].append(_take(part, folder, manifest, shard, name, files))
    counts = sum(map(open_counts, parts[1:]), open_counts(parts[0]))
    with HashedFile(folder / COUNTS_FILE) as file:
        file.write(counts.astype(COUNT))
    files[COUNTS_FILE] = file.fact
    whole: Facts = replace(
        facts[0], train=tuple(shards["train"]), validation=tuple(shards["validation"])
    )
    return write_manifest(folder, files, **vars(whole))


def _take(
    part: Path,
    folder: Path,
    manifest: Manifest,
    shard: Shard,
    name: str,
    files: dict[str, FileFact],
) -> Shard:
    """Give a shard of a part another name in the folder; notes its files."""
    renamed = replace(shard, name=name)
    for old, new in zip(shard.files, renamed.files, strict=True):
        _link(part / old, folder / new)
        files[new] = manifest.files[old]
    return renamed


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError as fault:
        if fault.errno not in _NO_LINKS:
            raise
        shutil.move(old, new)
