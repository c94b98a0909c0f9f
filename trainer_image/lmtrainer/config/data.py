"""What is read: the text, how it is cut into documents, and what is held out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.schema import required, setting
from lmtrainer.config.sources import location_mistakes

DocumentRule = Literal["blankLine", "line", "file"]


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """The held-out text: a share of the training documents, or files of its own."""

    share: float | None = setting(None, "share of the documents that is held out", above=0, below=1)
    files: tuple[str, ...] = setting(tuple, "files or patterns of held-out text", max_items=100)

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
    validation: ValidationConfig = setting(
        lambda: ValidationConfig(share=0.05), "what is held out of training"
    )
    documents: DocumentRule = setting(
        "blankLine", "what ends a document: a blank line, each line, or the end of the file"
    )
    encoding: str = setting("utf-8", "encoding of the text files")
    cache: str | None = setting(
        None, "folder for the prepared dataset; left out, it lies in the output folder"
    )

    def mistakes(self) -> Iterator[Mistake]:
        yield from location_mistakes("train", self.train)
        if self.cache is not None:
            yield from location_mistakes("cache", (self.cache,), writable=True)
        try:
            "text".encode(self.encoding)
        except (LookupError, ValueError):
            yield Mistake(
                "encoding", show(self.encoding), "unknown encoding", 'such as "utf-8" or "latin-1"'
            )
