"""Text becomes a tokenizer and a dataset, once; every later stage opens them.

`prepare` is called by the stage of that name, `open_prepared` by the others. Both are safe to
repeat: what is there and fits is verified and kept, anything else is made anew.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmtrainer.config import RunConfig
from lmtrainer.dataset import agreement, nearby, pairs, summary, tables
from lmtrainer.dataset.build import build, forget, is_built
from lmtrainer.dataset.facts import facts_of
from lmtrainer.dataset.home import (
    DATASET,
    TOKENIZER,
    Pointer,
    alone,
    home_of,
    loaded,
    pointer_before,
    read_pointer,
    write_pointer,
)
from lmtrainer.dataset.inputs import Progress, find_inputs, fingerprint_of
from lmtrainer.dataset.leading import ALONE, Nodes
from lmtrainer.dataset.samples import Cut, Samples, cut_of
from lmtrainer.dataset.store import Tokens, open_counts, open_split
from lmtrainer.durable import (
    MANIFEST_FILE,
    DamagedError,
    building,
    make_folder,
    read_manifest,
    sha256_of,
    verify_manifest,
)
from lmtrainer.faults import UserError
from lmtrainer.text.sources import saved
from lmtrainer.text.split import Split
from lmtrainer.vocab import Vocabulary


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """A tokenizer and a dataset that belong together."""

    tokenizer: Path
    """Folder that AutoTokenizer loads, in the output folder."""
    dataset: Path
    manifest_sha256: str
    """Of the dataset's manifest, which names that of the tokenizer."""
    vocabulary: Vocabulary
    train: Tokens
    validation: Tokens
    counts: NDArray[np.int64]
    """How often each id occurs in the training split [vocabulary]."""
    pairs: Mapping[pairs.Table, pairs.Pairs]
    """Pairs of sentences of both splits, where a phase trains on them."""

    def tokens(self, split: Split) -> Tokens:
        return self.train if split == "train" else self.validation

    def samples(self, split: Split, cut: Cut) -> Samples:
        """The sequences that a split is cut into."""
        return tables.samples_of(self.dataset, self.tokens(split), split, cut)


@dataclass(frozen=True, kw_only=True)
class Company:
    """Who has to do with a preparation beside the one who does it."""

    nodes: Nodes = ALONE
    """Those that do it together."""
    tell: Callable[[str], None] = lambda line: None
    """Hears of text that is not trained on."""
    before_change: Callable[[], None] = lambda: None
    """May refuse that another dataset takes the place of the one that the folder has."""


def prepare(
    run: RunConfig,
    output: Path,
    claims: Mapping[str, str],
    progress: Progress = lambda activity, done, total: None,
    company: Company | None = None,
) -> Prepared:
    """Prepare what a resolved configuration asks for, or find that it is there.

    `output` is the run's folder, which nobody else writes to. Raises UserError for text that is
    missing, not readable or too little, and for a tokenizer that does not fit the objective.
    """
    company = company or Company()
    inputs = find_inputs(run, claims, progress)
    mark = fingerprint_of(inputs, company.nodes)
    before = pointer_before(output)
    if before is not None and before.fingerprint != mark:
        company.before_change()
    make_folder(output)
    home = home_of(run, output, claims, mark)
    with contextlib.ExitStack() as stack:
        if home != output:
            stack.enter_context(alone(home, lambda: progress("wait for another run", 0, None)))
        if run.data.rebuild:
            forget(home)
        if not is_built(home, mark):
            build(inputs, home, mark, company.nodes)
        pairs.build(run, home, progress)
        tables.build(run, home)
        if home != output:
            _copy_tokenizer(home, output)
    sha256 = sha256_of(home / DATASET / MANIFEST_FILE)
    if before is not None and before.manifest_sha256 != sha256:
        company.before_change()
    write_pointer(output, Pointer(fingerprint=mark, manifest_sha256=sha256))
    prepared = open_prepared(run, output, claims)
    _check_enough(prepared, run)
    found = summary.summary(prepared, run)
    summary.write(output, found)
    for line in summary.lines(found):
        company.tell(line)
    return prepared


def open_prepared(
    run: RunConfig, output: Path, claims: Mapping[str, str], *, node: Path | None = None
) -> Prepared:
    """Open what was prepared for an output folder, checking that it is whole and belongs together:
    manifests and the tokenizer to the byte, the dataset's files by size. UserError if not. With
    `data.copyToNode` a copy is made in `node`, a folder of this machine, and that is opened."""
    pointer = read_pointer(output)
    home = home_of(run, output, claims, pointer.fingerprint)
    try:
        if run.data.copy_to_node and node is not None:
            home = _nearby(run, home, node / f"prepared-{pointer.fingerprint[:16]}")
        prepared = _open(run, output / TOKENIZER, home / DATASET, pointer)
    except DamagedError as fault:
        raise UserError(
            f"the dataset in {home} is damaged: {fault}; start the job again to prepare it anew"
        ) from fault
    if run.model.from_ is not None:
        model = saved(run.model.from_, claims, "model.from")
        agreement.check_special_ids(prepared.vocabulary, model)
    return prepared


def _nearby(run: RunConfig, home: Path, place: Path) -> Path:
    paired = [pairs.folder_of(run, home)] if pairs.tables_of(run) else []
    nearby.copied([home / DATASET, *paired, *tables.folders(run, home)], place)
    return place


def _open(run: RunConfig, tokenizer: Path, dataset: Path, pointer: Pointer) -> Prepared:
    verify_manifest(tokenizer)
    facts = facts_of(read_manifest(dataset))
    if sha256_of(dataset / MANIFEST_FILE) != pointer.manifest_sha256:
        raise DamagedError("another dataset has taken its place")
    if sha256_of(tokenizer / MANIFEST_FILE) != facts.tokenizer:
        raise DamagedError(f"it was not made with the tokenizer in {tokenizer}")
    vocabulary = loaded(tokenizer, facts.tokenizer)
    assert run.objective is not None, "the plan resolves it"
    vocabulary.require(run.objective)
    return Prepared(
        tokenizer=tokenizer,
        dataset=dataset,
        manifest_sha256=pointer.manifest_sha256,
        vocabulary=vocabulary,
        train=open_split(dataset, "train"),
        validation=open_split(dataset, "validation"),
        counts=open_counts(dataset),
        pairs=pairs.open_tables(run, dataset.parent),
    )


def _copy_tokenizer(home: Path, output: Path) -> None:
    """Byte by byte, so that it has the manifest that the dataset names."""
    with building(output / TOKENIZER) as beside:
        for path in sorted((home / TOKENIZER).iterdir()):
            shutil.copyfile(path, beside / path.name)


def _check_enough(prepared: Prepared, run: RunConfig) -> None:
    tokens = len(prepared.train)
    if run.data.sequences == "instances":
        _check_instances(prepared, run)
        return
    for index, phase in enumerate(run.phases):
        if run.objective_of(phase) == "mlm+nsp":
            continue  # was checked when they were paired
        cut = cut_of(run, phase)
        if tokens < phase.sequence_length or not prepared.samples("train", cut):
            raise UserError(
                f"data.train: {tokens} tokens < phases[{index}].sequenceLength "
                f"{phase.sequence_length}: 0 full examples; lower it or add text"
            )
        if not prepared.samples("validation", cut_of(run, phase, "validation")):
            raise UserError(
                f"data.validation: {len(prepared.validation)} tokens are held out, "
                "too few to measure anything; hold out more text"
            )


def _check_instances(prepared: Prepared, run: RunConfig) -> None:
    """They are as long as they were made: none may be longer than a phase reads."""
    for split, place in (("train", "data.train"), ("validation", "data.validation")):
        offsets = (prepared.train if split == "train" else prepared.validation).offsets
        if len(offsets) < 2:
            raise UserError(f"{place}: holds no instance; give more of them")
        longest = int(np.diff(offsets).max())
        for index, phase in enumerate(run.phases):
            if longest > phase.sequence_length:
                raise UserError(
                    f"{place}: instances have up to {longest} tokens, more than "
                    f"phases[{index}].sequenceLength {phase.sequence_length}; raise it"
                )
