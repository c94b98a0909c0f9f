"""Writes a dataset as documents come, in flat memory: shards of both splits, counts, manifest.

Called by the preparation of data, into a folder that nobody else sees yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmtrainer.dataset.answers import AnswersWriter
from lmtrainer.dataset.facts import COUNT, COUNTS_FILE, FORMAT, OFFSET, Facts, Shard, id_type
from lmtrainer.dataset.hashed import HashedFile
from lmtrainer.durable import FileFact, write_manifest
from lmtrainer.text.instances import Instance
from lmtrainer.text.split import SPLITS, Split

SHARD_TOKENS = 1 << 27
"""Tokens after which the next document begins a new shard: 256 MiB of uint16."""

_FLUSH = 1 << 18
"""Tokens that are gathered before they are written."""


class Writer:
    """Takes the documents of both splits in any order; to be used as a context.

    `opener` is an id that is put before every document, `terminator` one behind it, if any. With
    `sentences` it is recorded where they end. With `instances` documents are ready-made ones.
    Documents and sentences without tokens are left out.
    """

    def __init__(  # noqa: PLR0913 - words that say what they are, each with a default
        self,
        folder: Path,
        vocab_size: int,
        *,
        opener: int | None = None,
        terminator: int | None = None,
        sentences: bool = False,
        instances: bool = False,
        shard_tokens: int = SHARD_TOKENS,
    ) -> None:
        self._folder = folder
        self._vocab_size = vocab_size
        self.terminator = terminator
        form = _Form(id_type(vocab_size), sentences, instances, opener, terminator, shard_tokens)
        self._splits: dict[Split, _SplitWriter] = {
            split: _SplitWriter(folder, split, vocab_size, form) for split in SPLITS
        }

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for split in self._splits.values():
            split.close()

    def add(
        self, split: Split, ids: NDArray[np.uint32], *, last: bool, ends: Sequence[int] = ()
    ) -> None:
        """Add a document, or the next part of one; `last` ends it. `ends`: where its sentences end
        in it, ascending, the last one at the end of `ids`."""
        self._splits[split].add(ids, last=last, ends=ends)

    def add_instance(self, split: Split, ids: NDArray[np.uint32], instance: Instance) -> None:
        """Add a ready-made instance."""
        self._splits[split].add_instance(ids, instance)

    def seal(
        self,
        *,
        fingerprint: str,
        tokenizer: str,
        uncounted: Sequence[int] = (),
        source: tuple[int, int] = (0, 1),
    ) -> str:
        """Write what is left, and the manifest; returns the sha256 of it. Ids that are `uncounted`
        do not count as text. `source`: which location it is from, of how many."""
        for split in self._splits.values():
            split.finish()
        train, validation = (self._splits[split] for split in SPLITS)
        files = {**train.files, **validation.files}
        train.counts[list(uncounted)] = 0
        with HashedFile(self._folder / COUNTS_FILE) as file:
            file.write(train.counts.astype(COUNT))
        files[COUNTS_FILE] = file.fact
        facts = Facts(
            format=FORMAT,
            fingerprint=fingerprint,
            tokenizer=tokenizer,
            dtype="uint16" if id_type(self._vocab_size).itemsize == 2 else "uint32",
            vocab_size=self._vocab_size,
            sources=source[1],
            train=tuple(replace(shard, source=source[0]) for shard in train.shards),
            validation=tuple(validation.shards),
        )
        return write_manifest(self._folder, files, **vars(facts))


@dataclass(frozen=True)
class _Form:
    """How every split of a dataset is written."""

    kind: np.dtype[Any]
    """Of ids."""
    sentences: bool
    instances: bool
    opener: int | None
    terminator: int | None
    shard_tokens: int


class _OpenShard:
    """The shard that is being written."""

    def __init__(self, folder: Path, name: str, form: _Form) -> None:
        self._kind = form.kind
        self._stack = ExitStack()
        self._facts = Shard(
            name=name, documents=0, tokens=0, sentences=0 if form.sentences else None
        )
        self._tokens = self._stack.enter_context(HashedFile(folder / self._facts.tokens_file))
        self._offsets = self._stack.enter_context(HashedFile(folder / self._facts.offsets_file))
        self._offsets.write(np.zeros(1, dtype=OFFSET))
        self._answers: AnswersWriter | None = None
        if form.instances:
            self._answers = AnswersWriter(folder, self._facts, self._stack)
        self._sentences: HashedFile | None = None
        if form.sentences:
            path = folder / self._facts.sentences_file
            self._sentences = self._stack.enter_context(HashedFile(path))
            self._sentences.write(np.zeros(1, dtype=OFFSET))

    @property
    def facts(self) -> Shard:
        return self._facts

    @property
    def files(self) -> dict[str, FileFact]:
        shard = self._facts
        files = {shard.tokens_file: self._tokens.fact, shard.offsets_file: self._offsets.fact}
        if self._sentences is not None:
            files[shard.sentences_file] = self._sentences.fact
        if self._answers is not None:
            files |= self._answers.files
        return files

    def write(
        self,
        ids: NDArray[np.uint32],
        ends: list[int],
        sentence_ends: list[int],
        instances: list[Instance],
    ) -> None:
        """Ids, where documents and sentences end in the shard, and what instances are beside."""
        shard = self._facts
        self._tokens.write(ids.astype(self._kind))
        self._offsets.write(np.array(ends, dtype=OFFSET))
        sentences = None
        if self._sentences is not None:
            self._sentences.write(np.array(sentence_ends, dtype=OFFSET))
            sentences = (shard.sentences or 0) + len(sentence_ends)
        if self._answers is not None:
            self._answers.write(instances)
        self._facts = Shard(
            name=shard.name,
            documents=shard.documents + len(ends),
            tokens=shard.tokens + len(ids),
            sentences=sentences,
            targets=None if self._answers is None else self._answers.targets,
        )

    def close(self) -> None:
        self._stack.close()


class _SplitWriter:
    """Gathers documents and writes them shard by shard."""

    def __init__(self, folder: Path, split: Split, vocab_size: int, form: _Form) -> None:
        self._folder = folder
        self._split = split
        self._form = form
        self._parts: list[NDArray[np.uint32]] = []
        self._gathered = 0
        self._ends: list[int] = []
        self._sentence_ends: list[int] = []
        self._instances: list[Instance] = []
        self._position = 0  # in the shard, of the next token
        self._begin = 0  # in the shard, of the current document
        self._open: _OpenShard | None = None
        self.counts = np.zeros(vocab_size, dtype=np.int64)
        self.shards: list[Shard] = []
        self.files: dict[str, FileFact] = {}

    def add(self, ids: NDArray[np.uint32], *, last: bool, ends: Sequence[int]) -> None:
        self._sentence_ends.extend(self._position + end for end in ends)
        if self._form.opener is not None and len(ids) and self._position == self._begin:
            self._gather(np.array([self._form.opener], np.uint32))
        self._gather(ids)
        if last and self._position > self._begin:
            if self._form.terminator is not None:
                self._gather(np.array([self._form.terminator], np.uint32))
            self._ends.append(self._position)
            self._begin = self._position
            if self._position >= self._form.shard_tokens:
                self.finish()
        if self._gathered >= _FLUSH:
            self._flush()

    def add_instance(self, ids: NDArray[np.uint32], instance: Instance) -> None:
        self._instances.append(instance)
        # What stands there counts, not what is shown in its place.
        np.subtract.at(self.counts, ids[instance.places], 1)
        np.add.at(self.counts, instance.labels, 1)
        self.add(ids, last=True, ends=())

    def finish(self) -> None:
        """End the shard."""
        self._flush()
        if self._open is not None:
            self.close()
            self.shards.append(self._open.facts)
            self.files |= self._open.files
            self._open = None
        self._position = self._begin = 0

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    def _gather(self, ids: NDArray[np.uint32]) -> None:
        self._parts.append(ids)
        self._gathered += len(ids)
        self._position += len(ids)

    def _flush(self) -> None:
        if not self._gathered and not self._ends:
            return
        if self._open is None:
            name = f"{self._split}-{len(self.shards):05d}"
            self._open = _OpenShard(self._folder, name, self._form)
        ids = np.concatenate(self._parts)
        self.counts += np.bincount(ids, minlength=len(self.counts))
        self._open.write(ids, self._ends, self._sentence_ends, self._instances)
        self._parts, self._ends, self._sentence_ends, self._instances = [], [], [], []
        self._gathered = 0
