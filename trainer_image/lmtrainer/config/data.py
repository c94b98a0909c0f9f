"""What is read: the text, how it is cut into documents, and what is held out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.schema import required, setting
from lmtrainer.config.sources import location_mistakes

DocumentRule = Literal["blankLine", "line", "file"]
Sequences = Literal["documents", "blocks", "stream", "groups", "lines", "sentences", "instances"]
LongSentences = Literal["split", "drop"]

OF_ONE_OBJECTIVE: Mapping[str, str] = MappingProxyType(
    {"stream": "clm", "sentences": "mlm", "instances": "mlm"}
)
"""Sequences that only one objective is trained on."""

INSTEAD: Mapping[str, str] = MappingProxyType(
    {"stream": "blocks", "sentences": "documents", "instances": "documents"}
)
"""What comes nearest for the others."""

BY_LINE = ("lines", "sentences")
"""Sequences that are made of lines."""


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """The held-out text: a share of the training documents, or files of its own."""

    share: float | None = setting(None, "share of the documents that is held out", above=0, below=1)
    files: tuple[str, ...] = setting(tuple, "files or patterns of held-out text", max_items=100)
    max_sequences: int | None = setting(None, "measure the first so many sequences", minimum=1)

    def mistakes(self) -> Iterator[Mistake]:
        if (self.share is None) == (not self.files):
            both = ("share", "files")
            yield Mistake("", "", "needs either share or files", "give one of them", about=both)
        yield from location_mistakes("files", self.files)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the text lies and how it is read."""

    train: tuple[str, ...] = required(
        "files or patterns of training text, such as pvc://corpus/wiki/*.txt or sample://jargon",
        min_items=1,
        max_items=100,
        way_out="give at least one file or pattern",
    )
    weights: tuple[float, ...] | None = setting(
        None,
        "how often each entry of train is seen in an epoch; left out, once",
        above=0,
        maximum=1000,
        max_items=100,
    )
    validation: ValidationConfig = setting(
        lambda: ValidationConfig(share=0.05), "what is held out of training"
    )
    documents: DocumentRule | None = setting(
        None, "what ends a document; left out, blankLine, or line for lines and sentences"
    )
    sequences: Sequences | None = setting(
        None, "how text is cut into training sequences; left out, documents"
    )
    long_sentences: LongSentences | None = setting(
        None, "sentences: what becomes of one that is too long; left out, split"
    )
    max_sequences: int | None = setting(
        None, "train on the first so many sequences only", minimum=1
    )
    encoding: str = setting("utf-8", "encoding of the text files")
    text_column: str | None = setting(
        None, "column of tables (csv, json); left out, text, else the first"
    )
    keep_line_breaks: bool | None = setting(None, "documents: line: a line ends in its line break")
    tokenized: bool | None = setting(
        None, "tables hold input_ids instead of text; needs tokenizer.from"
    )
    processes: int | None = setting(
        None, "that prepare the text; left out, one for each CPU", minimum=1, maximum=1024
    )
    rebuild: bool | None = setting(None, "prepare anew, even if the same was prepared before")
    copy_to_node: bool | None = setting(
        None, "copy the dataset to the disk of each node before training"
    )
    cache: str | None = setting(
        None, "folder for the prepared dataset; left out, it lies in the output folder"
    )

    @property
    def document_rule(self) -> DocumentRule:
        """What ends a document."""
        return self.documents or ("line" if self.sequences in BY_LINE else "blankLine")

    def mistakes(self) -> Iterator[Mistake]:
        yield from location_mistakes("train", self.train)
        yield from self._sequence_mistakes()
        yield from self._weight_mistakes()
        if self.cache is not None:
            yield from location_mistakes("cache", (self.cache,), writable=True)
        try:
            "text".encode(self.encoding)
        except (LookupError, ValueError):
            yield Mistake(
                "encoding", show(self.encoding), "unknown encoding", 'such as "utf-8" or "latin-1"'
            )

    def _weight_mistakes(self) -> Iterator[Mistake]:
        if self.weights is not None and len(self.weights) != len(self.train):
            rule = "must have one weight for each entry of train"
            yield Mistake("weights", "", rule, "add or remove some", about=("train",))

    def _sequence_mistakes(self) -> Iterator[Mistake]:
        if self.sequences in BY_LINE and self.document_rule != "line":
            yield Mistake(
                "documents",
                show(self.documents),
                "lines and sentences are made of lines",
                "use line, or leave it out",
                about=("sequences",),
            )
        if self.sequences == "instances" and self.tokenized:
            rule = "is for rows of input_ids alone, and instances are more than that"
            yield Mistake("tokenized", "true", rule, "remove it", about=("sequences",))
        if self.keep_line_breaks and self.document_rule != "line":
            rule = "is for documents: line; the others keep those within a document"
            yield Mistake("keepLineBreaks", "true", rule, "remove it", about=("documents",))
        if self.long_sentences is not None and self.sequences != "sentences":
            yield Mistake(
                "longSentences",
                show(self.long_sentences),
                "is for sequences: sentences",
                "remove it",
                about=("sequences",),
            )
