"""Makes a tokenizer and a dataset, and knows what they were made from. Called by
`dataset.prepare`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmtrainer import vocab
from lmtrainer.config import RunConfig, fingerprint
from lmtrainer.config.schema import document
from lmtrainer.contract.machine import usable_cpus, usable_memory
from lmtrainer.dataset import agreement
from lmtrainer.dataset.crew import Crew
from lmtrainer.dataset.facts import FORMAT, facts_of
from lmtrainer.dataset.home import DATASET, TOKENIZER, loaded
from lmtrainer.dataset.leading import Nodes
from lmtrainer.dataset.reading import read_text
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
from lmtrainer.faults import UserError
from lmtrainer.text.drawing import training_texts
from lmtrainer.text.files import described, size_of, stamp_of
from lmtrainer.text.parts import parts
from lmtrainer.text.records import Reading
from lmtrainer.text.sources import saved
from lmtrainer.text.split import Corpus, find, pieces
from lmtrainer.vocab import Vocabulary
from lmtrainer.vocab.wordpiece import Texts

Progress = Callable[[str, int, int | None], None]
"""Called with an activity, the bytes of text that it has read, and how many there are."""

WORTH_A_PROCESS = 32 << 20
"""Bytes of text: a process takes about as long to start as to encode a third of it."""

PROCESS_BYTES = 512 << 20
"""What a process that prepares text may need: a tokenizer, its memory of chunks, some text."""

Reader = Callable[[int], None]
"""Called with the number of bytes that were just read."""


@dataclass(frozen=True)
class Inputs:
    """Everything that a prepared dataset depends on, as it lies on this machine."""

    run: RunConfig
    corpus: Corpus
    tokenizer: Path | None
    """The folder of `tokenizer.from`."""
    progress: Progress
    stamps: tuple[Any, ...]
    """Of each text file when it was found: another one once it was changed."""

    @property
    def sample(self) -> int:
        """Bytes of the text that a tokenizer is trained on; 0 for all of it."""
        training = self.run.tokenizer.train
        most = None if self.tokenizer or training is None else training.max_bytes
        return most if most and most < sum(map(size_of, self.corpus.files)) else 0

    def reading(self, activity: str, sample: int = 0) -> Reader:
        """Reports the progress of one pass over the text, or over a sample of it."""
        total = sample or self.corpus.bytes
        done = 0

        def read(count: int) -> None:
            nonlocal done
            done += count
            # To draw the beginning of a file, more of it may be read.
            self.progress(activity, min(done, total) if sample else done, total)

        return read


def find_inputs(run: RunConfig, claims: Mapping[str, str], progress: Progress) -> Inputs:
    """UserError if a location names nothing, or if the tokenizer or a phase does not fit the model
    that training starts from."""
    source = run.tokenizer.from_
    tokenizer = None if source is None else saved(source, claims, "tokenizer.from")
    if run.model.from_ is not None:
        model = saved(run.model.from_, claims, "model.from")
        agreement.check_lengths(run, model)
        if tokenizer is not None:
            agreement.check_special_ids(vocab.load(tokenizer), model)
    corpus = find(run.data, run.seed, claims)
    return Inputs(run, corpus, tokenizer, progress, _stamps(corpus))


def fingerprint_of(inputs: Inputs, nodes: Nodes) -> str:
    """Of the bytes of all text and of every setting that the ids depend on. Reads all text once."""
    run, corpus = inputs.run, inputs.corpus
    processes = processes_for(inputs, nodes.on_this_machine)
    text = read_text(corpus, nodes, processes, inputs.reading("read text"))
    return fingerprint(
        {
            "format": FORMAT,
            "text": text[: len(corpus.files)],
            "heldOutText": text[len(corpus.files) :],
            **_reading_described(corpus.reading),
            "share": corpus.share,
            "seed": corpus.seed if corpus.share is not None or inputs.sample else None,
            "tokenizer": _tokenizer_described(inputs),
            "maxLength": _max_length(run),
            "objective": "clm" if run.objective == "clm" else "mlm",
            **({"sentences": True} if run.draws_pairs else {}),
            "aroundDocuments": _around_documents(run),
            **({"sources": corpus.weighted} if corpus.weighted else {}),
        }
    )


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
        build_dataset(leader, work, counts.firsts, final, lambda: _check_unchanged(inputs))


def work_of(inputs: Inputs, home: Path, mark: str) -> Work:
    """What every process must know, once the tokenizer is there. UserError if that does not fit."""
    tokenizer = home / TOKENIZER
    vocabulary = loaded(tokenizer, sha256_of(tokenizer / MANIFEST_FILE))
    assert inputs.run.objective is not None, "the plan resolves it"
    vocabulary.require(inputs.run.objective)
    return Work(tokenizer, _layout(inputs.run, vocabulary), mark)


def processes_for(inputs: Inputs, nodes: int) -> int:
    """As many as were asked for; else as many as fit, if so many nodes share this machine."""
    return inputs.run.data.processes or _processes(inputs.corpus.bytes, nodes)


def _processes(text: int, nodes: int = 1) -> int:
    """One for each processor, as far as there is memory and enough text, in bytes, for so many."""
    room = min(usable_cpus(), usable_memory() // PROCESS_BYTES) // nodes
    return max(1, min(room, text // WORTH_A_PROCESS))


def _layout(run: RunConfig, vocabulary: Vocabulary) -> Layout:
    opener, terminator = (_id(vocabulary, roles) for roles in _around_documents(run))
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


def _around_documents(run: RunConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands in the text before and behind each document: a token of the first of these roles
    that the tokenizer has."""
    sequences = run.data.sequences or "documents"
    if run.objective == "clm":
        # A causal model needs to see where documents end, if they are to be told apart at all.
        return (), ("eos",) if sequences in ("documents", "lines") else ()
    if sequences == "groups":
        return ("cls",), ("sep",)
    return (), ("line_break", "sep") if sequences == "sentences" else ()


def _id(vocabulary: Vocabulary, roles: tuple[str, ...]) -> int | None:
    found = (getattr(vocabulary, role) for role in roles)
    return next((id_ for id_ in found if id_ is not None), None)


def _reading_described(reading: Reading) -> dict[str, Any]:
    """How text is read, as far as that is not the usual way."""
    named = {
        "documents": reading.rule,
        "encoding": reading.encoding,
        "textColumn": reading.column,
        "keepLineBreaks": reading.keep_line_breaks or None,
        "tokenized": reading.tokenized or None,
        "instances": reading.instances or None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _stamps(corpus: Corpus) -> tuple[Any, ...]:
    return tuple(map(stamp_of, corpus.all_files))


def _check_unchanged(inputs: Inputs) -> None:
    """A fingerprint of other text than what was encoded would be believed for ever."""
    for path, before, now in zip(
        inputs.corpus.all_files, inputs.stamps, _stamps(inputs.corpus), strict=True
    ):
        if before != now:
            raise UserError(f"{path}: changed while it was read; start the job again when it rests")


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
    length = _max_length(inputs.run)
    if inputs.tokenizer is not None:
        vocab.adopt(inputs.tokenizer, home / TOKENIZER, max_length=length, fingerprint=mark)
        return
    settings = inputs.run.tokenizer.train
    assert settings is not None, "the plan resolves it"
    vocab.make(settings, texts, home / TOKENIZER, max_length=length, fingerprint=mark)


def _max_length(run: RunConfig) -> int:
    """The longest sequence that the tokenizer's users may give the model."""
    sizes = run.model.sizes()
    return sizes.max_positions if sizes else max(phase.sequence_length for phase in run.phases)


def _tokenizer_described(inputs: Inputs) -> Any:
    if inputs.tokenizer is None:
        return document(inputs.run.tokenizer.train)
    adopted = vocab.adopted_files(inputs.tokenizer)
    return [described(file, lambda count: None) for file in adopted]
