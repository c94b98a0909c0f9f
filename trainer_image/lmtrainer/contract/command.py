"""What a program of the user's own is told, and how it may answer: the environment of its ranks and
the lines that it may append to a file.

Beside these it gets the environment of torchrun (`lmtrainer.launch.rank_environment`). Exit code 0
of every rank means done; the codes of `contract.exits` mean what they say there, and any other is
an error after which another attempt may help.

    LMJOB_OUTPUT      folder of the results, the same in every attempt: checkpoints go here
    LMJOB_ATTEMPT     1, and one more after each restart
    LMJOB_PROGRESS    file to which rank 0 may append lines of JSON; see `Line`
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lmtrainer.config.mistakes import MistakesError
from lmtrainer.config.reading import parse
from lmtrainer.config.schema import Field, fields, setting

OUTPUT = "LMJOB_OUTPUT"
ATTEMPT = "LMJOB_ATTEMPT"
PROGRESS = "LMJOB_PROGRESS"

PROGRESS_LINES = "progress.jsonl"
"""In the node's folder, so that every attempt begins with an empty file."""

_MOST = 2**53


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: what has changed; all fields may be left out, and fields of other names are."""

    step: int | None = setting(None, "optimizer steps done", minimum=0, maximum=_MOST)
    total: int | None = setting(None, "steps in all", minimum=0, maximum=_MOST)
    loss: float | None = setting(None, "training loss")
    learning_rate: float | None = setting(None, "rate of the step")
    tokens_per_second: float | None = setting(None, "over all ranks", minimum=0)
    eta_seconds: float | None = setting(None, "left out, from the steps so far", minimum=0)
    checkpoint: int | None = setting(
        None, "step of the newest durable checkpoint", minimum=0, maximum=_MOST
    )


def read_line(text: str) -> Line | None:
    """A line that was appended, without what cannot be used of it; None if it is none."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    return Line(**{f.name: _usable(f, raw[f.key]) for f in fields(Line) if f.key in raw})


def _usable(f: Field, value: Any) -> Any:
    try:
        return getattr(parse(Line, {f.key: value}), f.name)
    except MistakesError:
        return None
