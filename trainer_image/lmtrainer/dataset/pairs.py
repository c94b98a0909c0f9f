"""Tables of pairs of sentences, beside the dataset: made once, opened memory mapped.

Called by `dataset.prepare`. A folder `pairs-MARK` holds, for each split, sequence length and pass
over the text, a file SPLIT-LENGTH-PASS.pairs of `pairing.PAIR`; of held-out text one pass is made.
MARK is a fingerprint of all that the pairs depend on, so that runs that share a dataset share pairs
or leave those of others alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig, fingerprint
from lmtrainer.config.schema import document
from lmtrainer.dataset.hashed import HashedFile
from lmtrainer.dataset.home import DATASET
from lmtrainer.dataset.pairchunks import Drawing, Sentences
from lmtrainer.dataset.pairing import PAIR, pairs
from lmtrainer.dataset.store import Tokens, map_file, open_sentences, open_split
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
from lmtrainer.faults import UserError
from lmtrainer.randomness import Purpose, derive
from lmtrainer.text.split import SPLITS, Split

FORMAT = 1

Pairs = NDArray[np.void]
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Table:
    """Which table: of one pass over a split, in sequences of one length."""

    split: Split
    length: int
    number: int
    """Of the pass."""

    @property
    def file(self) -> str:
        return f"{self.split}-{self.length}-{self.number}.pairs"


def tables_of(run: RunConfig) -> list[Table]:
    """The tables that a resolved run needs."""
    if not run.draws_pairs:
        return []
    assert run.pairs is not None, "the plan resolves it"
    phases = [phase for phase in run.phases if run.objective_of(phase) == "mlm+nsp"]
    passes = {"train": run.pairs.passes, "validation": 1}
    return [
        Table(split, length, number)
        for split in SPLITS
        for length in sorted({phase.sequence_length for phase in phases})
        for number in range(passes[split])
    ]


def build(run: RunConfig, home: Path, progress: Progress) -> None:
    """Pair the sentences of the dataset in `home`, unless that is done. Whole or not at all.

    UserError if there is nothing to pair: fewer than two documents, or none of two sentences.
    """
    if not tables_of(run) or _is_built(run, home):
        return
    with building(folder_of(run, home)) as beside:
        files = {}
        for split in SPLITS:
            sentences = _sentences(home, split)
            wanted = [table for table in tables_of(run) if table.split == split]
            for done, table in enumerate(wanted):
                progress(f"pair sentences of {split}", done, len(wanted))
                files[table.file] = _write(beside, table, sentences, run)
        write_manifest(beside, files, format=FORMAT, fingerprint=_mark(run, home))


def open_tables(run: RunConfig, home: Path) -> Mapping[Table, Pairs]:
    """Map the tables of a run into memory. DamagedError if one is missing or has another size than
    its manifest says."""
    if not tables_of(run):
        return {}
    folder = folder_of(run, home)
    manifest = read_manifest(folder)
    if manifest.facts.get("fingerprint") != _mark(run, home):
        raise DamagedError(f"{folder.name} holds pairs of another text or of other settings")
    return {table: map_file(folder, manifest, table.file, PAIR) for table in tables_of(run)}


def _mark(run: RunConfig, home: Path) -> str:
    return fingerprint(
        {
            "format": FORMAT,
            "dataset": sha256_of(home / DATASET / MANIFEST_FILE),
            "seed": run.seed,
            "pairs": document(run.pairs),
            "tables": [table.file for table in tables_of(run)],
        }
    )


def folder_of(run: RunConfig, home: Path) -> Path:
    """Where the tables of a run lie."""
    return home / f"pairs-{_mark(run, home)[:16]}"


def _is_built(run: RunConfig, home: Path) -> bool:
    try:
        manifest = verify_manifest(folder_of(run, home))
    except DamagedError:
        return False
    return manifest.facts.get("fingerprint") == _mark(run, home)


def _sentences(home: Path, split: Split) -> Sentences:
    tokens: Tokens = open_split(home / DATASET, split)
    if tokens.documents < 2:
        where, way_out = "data.train", "give more documents, with a blank line between them"
        if split == "validation":
            where, way_out = "data.validation", "hold out more text"
        raise UserError(
            f"{where}: {tokens.documents} documents, but the second half of a pair of sentences is "
            f"often one of another document; {way_out}"
        )
    return Sentences(open_sentences(home / DATASET, split), tokens.offsets)


def _write(folder: Path, table: Table, sentences: Sentences, run: RunConfig) -> FileFact:
    assert run.pairs is not None, "the plan resolves it"
    drawing = Drawing(
        derive(run.seed, Purpose.PAIRS, SPLITS.index(table.split), table.length, table.number),
        table.length,
        run.pairs.random_share,
        run.pairs.short_share,
    )
    follow = False
    with HashedFile(folder / table.file) as file:
        for found in pairs(sentences, drawing):
            file.write(found)
            follow = follow or not found["is_random"].all()
    if table.split == "train" and not follow and run.pairs.random_share < 1:
        raise UserError(
            f"data.train: in no document does one sentence follow another in {table.length} "
            "tokens, so that every pair would be a random one; write one sentence a line and a "
            "blank line between documents, or raise sequenceLength"
        )
    return file.fact


def of_passes(tables: Mapping[Table, Pairs], split: Split, length: int) -> Iterator[Pairs]:
    """The tables of a split and length, pass by pass."""
    found = [table for table in tables if (table.split, table.length) == (split, length)]
    for table in sorted(found, key=lambda table: table.number):
        yield tables[table]
