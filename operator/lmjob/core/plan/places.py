"""Locations that exist on one machine only: right for `lmjob run`, a mistake in a cluster."""

from __future__ import annotations

from collections.abc import Iterator

from lmtrainer.config import CommandConfig, Mistake, Work
from lmtrainer.config.mistakes import show
from lmtrainer.config.sources import parse_location


def local_paths(run: Work) -> Iterator[Mistake]:
    """A mistake for each plain path; fields as a specification names them."""
    for field, text in _places(run):
        if text and parse_location(text).scheme == "file":
            rule = "is a path of one machine, which the pods do not see"
            yield Mistake(f"spec.{field}", show(text), rule, "give pvc://CLAIM/PATH")


def _places(run: Work) -> Iterator[tuple[str, str | None]]:
    if isinstance(run, CommandConfig):
        yield "output.to", run.output.to
        return
    for index, text in enumerate(run.data.train):
        yield f"data.train[{index}]", text
    for index, text in enumerate(run.data.validation.files):
        yield f"data.validation.files[{index}]", text
    yield "data.cache", run.data.cache
    yield "tokenizer.from", run.tokenizer.from_
    yield "model.from", run.model.from_
    yield "output.to", run.output.to
