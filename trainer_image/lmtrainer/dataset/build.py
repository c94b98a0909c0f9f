"""Makes a tokenizer and a dataset of what `dataset.inputs` found. Called by `dataset.prepare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lmtrainer import vocab
from lmtrainer.config import RunConfig
from lmtrainer.dataset.crew import Crew
from lmtrainer.dataset.facts import facts_of
from lmtrainer.dataset.home import DATASET, TOKENIZER, loaded
from lmtrainer.dataset.inputs import (
    Inputs,
    around_documents,
    check_unchanged,
    max_length,
    processes_for,
)
from lmtrainer.dataset.leading import Nodes
from lmtrainer.dataset.sharding import PARTS, Counts, Leader, build_dataset, crew_size
from lmtrainer.dataset.tasks import Layout, Work
from lmtrainer.durable import (
    MANIFEST_FILE,
    DamagedError,
    discard,
    remove,
    sha256_of,
    verify_manifest,
)
from lmtrainer.text.excerpts import training_texts
from lmtrainer.text.parts import parts
from lmtrainer.text.split import pieces
from lmtrainer.vocab import Vocabulary
from lmtrainer.vocab.wordpiece import Texts


def is_built(home: Path, mark: str) -> bool:
    """Do a tokenizer and a dataset of this fingerprint lie there, every byte as it was written?"""
    try:
        facts = facts_of(verify_manifest(home / DATASET))
        tokenizer = sha256_of(home / TOKENIZER / MANIFEST_FILE)
    except (DamagedError, FileNotFoundError):
        return False
    return facts.fingerprint == mark and facts.tokenizer == tokenizer and _has_tokenizer(home, mark)


def forget(home: Path) -> None:
    """Remove what was built, whole or in part."""
    for name in (DATASET, TOKENIZER):
        discard(home / name)
    for place in home.glob(f"{PARTS}*"):
        remove(place)


def build(inputs: Inputs, home: Path, mark: str, nodes: Nodes) -> None:
    """Make the tokenizer, unless it is there, and the dataset. Each appears whole."""
    corpus, cut = inputs.corpus, parts(inputs.corpus)
    size = crew_size(corpus, cut, processes_for(inputs, nodes.on_this_machine))
    with Crew(corpus, size) as crew:
        leader = Leader(corpus, cut, crew, nodes, inputs.reading)
        has_tokenizer = _has_tokenizer(home, mark)
        sample = 0 if has_tokenizer else inputs.sample
        # Before the tokenizer: only numbers tell which documents it may be trained on.
        counts = leader.count(sample)
        if not has_tokenizer:
            _build_tokenizer(inputs, home, mark, _texts(inputs, leader, sample, counts))
        work = work_of(inputs, home, mark)
        final = home / DATASET
        build_dataset(leader, work, counts.firsts, final, lambda: check_unchanged(inputs))


def work_of(inputs: Inputs, home: Path, mark: str) -> Work:
    """What every process must know, once the tokenizer is there. UserError if that does not fit."""
    tokenizer = home / TOKENIZER
    vocabulary = loaded(tokenizer, sha256_of(tokenizer / MANIFEST_FILE))
    assert inputs.run.objective is not None, "the plan resolves it"
    vocabulary.require(inputs.run.objective)
    return Work(tokenizer, _layout(inputs.run, vocabulary), mark)


def _layout(run: RunConfig, vocabulary: Vocabulary) -> Layout:
    opener, terminator = (_id(vocabulary, roles) for roles in around_documents(run))
    around = [id_ for id_ in (opener, terminator) if id_ is not None]
    if run.data.sequences == "instances":
        around = vocabulary.special_ids.tolist()
    never_predicted = run.objective != "clm"
    return Layout(
        opener,
        terminator,
        sentences=run.draws_pairs,
        instances=run.data.sequences == "instances",
        uncounted=tuple(i for i in around if never_predicted and i in vocabulary.special_ids),
    )


def _id(vocabulary: Vocabulary, roles: tuple[str, ...]) -> int | None:
    found = (getattr(vocabulary, role) for role in roles)
    return next((id_ for id_ in found if id_ is not None), None)


def _has_tokenizer(home: Path, mark: str) -> bool:
    try:
        return verify_manifest(home / TOKENIZER).facts.get("fingerprint") == mark
    except DamagedError:
        return False


def _texts(inputs: Inputs, leader: Leader, sample: int, counts: Counts) -> Texts:
    """Of training documents only: what is held out must be new to the tokenizer as well."""

    def texts(activity: str) -> Iterator[str]:
        read = inputs.reading(activity, sample)
        if sample:
            return training_texts(inputs.corpus, leader.drawn(sample, counts), read)
        text = pieces(inputs.corpus, on_read=read)
        return (piece.text for split, piece in text if split == "train")

    return texts


def _build_tokenizer(inputs: Inputs, home: Path, mark: str, texts: Texts) -> None:
    length = max_length(inputs.run)
    if inputs.tokenizer is not None:
        vocab.adopt(inputs.tokenizer, home / TOKENIZER, max_length=length, fingerprint=mark)
        return
    settings = inputs.run.tokenizer.train
    assert settings is not None, "the plan resolves it"
    vocab.make(settings, texts, home / TOKENIZER, max_length=length, fingerprint=mark)
