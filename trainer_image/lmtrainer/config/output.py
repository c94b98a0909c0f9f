"""Where the results of a run go, and what a start does with what it finds there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.schema import required, setting
from lmtrainer.config.sources import SCHEMES, location_mistakes

_PREFIX = rf"s3://{SCHEMES['s3'].authority}(/[A-Za-z0-9_=-][A-Za-z0-9_.=-]*)+"
"""Letters that every store and every tool takes in the name of an object."""

Resume = Literal["auto", "never", "required"]


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When the state of training is made durable, and what a start does with what it finds."""

    every_steps: int = setting(
        500, "steps between checkpoints", minimum=1, way_out="leave it out for 500"
    )
    keep: int = setting(
        3,
        "newest checkpoints to keep",
        minimum=2,
        way_out="the last good one must survive a bad save",
    )
    resume: Resume = setting(
        "auto",
        "auto: go on where the same configuration stopped; never: start afresh; "
        "required: fail without a checkpoint",
    )


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Where the results go."""

    to: str = required("folder of the results, such as pvc://results/my-model")
    copy_to: str | None = setting(
        None,
        "where in a store the results are copied to at the end",
        pattern=rf"(?=.{{1,900}}\Z){_PREFIX}",
        pattern_help="is not s3://BUCKET/FOLDER, of letters, digits, '-', '_', '.' and '='",
        way_out="such as s3://results/my-model",
    )
    tensorboard: bool = setting(True, "write TensorBoard event files, too")

    def mistakes(self) -> Iterator[Mistake]:
        yield from location_mistakes("to", (self.to,), writable=True)


OUTPUT: Mapping[str, Any] = {
    "help": "where the results go",
    "way_out": 'name a folder, such as output: {to: "pvc://results/my-model"}',
}
"""The field `output` of whatever a group can be asked to do."""
