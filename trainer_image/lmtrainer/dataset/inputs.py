"""What a dataset is made from, as it lies on this machine, and the name that follows from it.

Called by `dataset.prepare`, `dataset.build` and, on other nodes, `dataset.following`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmtrainer import vocab
from lmtrainer.config import RunConfig, fingerprint
from lmtrainer.config.schema import document
from lmtrainer.contract.machine import usable_cpus, usable_memory
from lmtrainer.dataset import agreement
from lmtrainer.dataset.facts import FORMAT
from lmtrainer.dataset.leading import Nodes
from lmtrainer.dataset.reading import read_text
from lmtrainer.faults import UserError
from lmtrainer.text.files import described, is_compressed, size_of, stamp_of
from lmtrainer.text.records import Reading
from lmtrainer.text.sources import saved
from lmtrainer.text.split import Corpus, find

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
        files = self.corpus.files
        if not most or (most >= sum(map(size_of, files)) and not any(map(is_compressed, files))):
            return 0
        return most

    def reading(self, activity: str, sample: int = 0) -> Reader:
        """Reports the progress of one pass over the text, or over a sample of it."""
        total = min(sample or self.corpus.bytes, self.corpus.bytes)
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
            "maxLength": max_length(run),
            "objective": "clm" if run.objective == "clm" else "mlm",
            **({"sentences": True} if run.draws_pairs else {}),
            "aroundDocuments": around_documents(run),
            **({"sources": corpus.weighted} if corpus.weighted else {}),
        }
    )


def processes_for(inputs: Inputs, nodes: int) -> int:
    """As many as were asked for; else as many as fit, if so many nodes share this machine."""
    return inputs.run.data.processes or _processes(inputs.corpus.bytes, nodes)


def _processes(text: int, nodes: int = 1) -> int:
    """One for each processor, as far as there is memory and enough text, in bytes, for so many."""
    room = min(usable_cpus(), usable_memory() // PROCESS_BYTES) // nodes
    return max(1, min(room, text // WORTH_A_PROCESS))


def around_documents(run: RunConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What stands in the text before and behind each document: a token of the first of these roles
    that the tokenizer has."""
    sequences = run.data.sequences or "documents"
    if run.objective == "clm":
        # A causal model needs to see where documents end, if they are to be told apart at all.
        return (), ("eos",) if sequences in ("documents", "lines") else ()
    if sequences == "groups":
        return ("cls",), ("sep",)
    return (), ("line_break", "sep") if sequences == "sentences" else ()


def max_length(run: RunConfig) -> int:
    """The longest sequence that the tokenizer's users may give the model."""
    sizes = run.model.sizes()
    return sizes.max_positions if sizes else max(phase.sequence_length for phase in run.phases)


def check_unchanged(inputs: Inputs) -> None:
    """A fingerprint of other text than what was encoded would be believed for ever."""
    for path, before, now in zip(
        inputs.corpus.all_files, inputs.stamps, _stamps(inputs.corpus), strict=True
    ):
        if before != now:
            raise UserError(f"{path}: changed while it was read; start the job again when it rests")


def _stamps(corpus: Corpus) -> tuple[Any, ...]:
    return tuple(map(stamp_of, corpus.all_files))


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


def _tokenizer_described(inputs: Inputs) -> Any:
    if inputs.tokenizer is None:
        return document(inputs.run.tokenizer.train)
    adopted = vocab.adopted_files(inputs.tokenizer)
    return [described(file, lambda count: None) for file in adopted]
