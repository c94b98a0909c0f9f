"""What every file of a text holds, as the fingerprint of a dataset says it: all of it is read once,
by many if there is much of it.

Called by `dataset.inputs`, and by `dataset.following` on other nodes.
"""

from __future__ import annotations

from typing import Any

from lmtrainer.dataset.crew import Crew
from lmtrainer.dataset.leading import Given, Nodes
from lmtrainer.dataset.rounds import Round
from lmtrainer.dataset.tasks import Files, describe_files, text_sha256
from lmtrainer.text.files import OnRead, described
from lmtrainer.text.parts import groups
from lmtrainer.text.split import Corpus

WORTH_SHARING = 4 << 30
"""Bytes of text: one process reads so many in the seconds that others take to start."""


def read_text(corpus: Corpus, nodes: Nodes, processes: int, on_read: OnRead) -> list[Any]:
    """Name, size and contents of each file, in their order, with at most so many processes on this
    node."""
    pieces = files_of(corpus)
    if len(pieces) == 1 or corpus.bytes < WORTH_SHARING:
        return [described(file, on_read) for file in corpus.all_files]
    tasks = dict(enumerate(pieces))
    announced = Round(kind="read", text=text_sha256(pieces), numbers=tuple(tasks))
    with Crew(None, min(processes, len(pieces))) as crew:
        found = dict(nodes.each(Given(announced, describe_files, tasks), crew, on_read))
    return [fact for number in tasks for fact in found[number]]


def files_of(corpus: Corpus) -> list[Files]:
    """All of it, in the pieces that are given out."""
    return [Files(group) for group in groups(corpus)]
