"""A program of the user's own, which the launcher starts in place of the trainer's ranks."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.output import OUTPUT, CheckpointConfig, OutputConfig
from lmtrainer.config.parallel import THREADS
from lmtrainer.config.schema import required, setting
from lmtrainer.config.sources import location_mistakes

LAUNCHERS = ("torchrun", "accelerate", "deepspeed", "mpirun")
"""Programs that start a group of their own."""

_CLAIM = "pvc://"


@dataclass(frozen=True, kw_only=True)
class CommandConfig:
    """The program and its arguments, started once for each rank, without a shell. What resuming
    means is the program's own affair."""

    checkpoint: ClassVar[CheckpointConfig] = CheckpointConfig()
    """Of the rules for the output folder those of `resume: auto`."""

    command: tuple[str, ...] = required(
        "a program of your own and its arguments, in place of data, model and phases",
        min_items=1,
        max_items=256,
        way_out="such as [python, /app/train.py, --data, pvc://corpus/wiki]",
    )
    threads_per_process: int | Literal["auto"] = setting("auto", **THREADS)
    hang_seconds: int | None = setting(
        None,
        "silence in $LMJOB_PROGRESS, once a line was there, that ends it; left out or 0: never",
        minimum=0,
        maximum=1_000_000,
    )
    output: OutputConfig = required(**OUTPUT)

    def mistakes(self) -> Iterator[Mistake]:
        program = self.command[0] if self.command else ""
        if self.command and not program:
            yield Mistake("command[0]", show(program), "is empty", "name a program")
        if posixpath.basename(program) in LAUNCHERS:
            rule = "starts a group of its own; the launcher does that"
            way_out = "write [python, SCRIPT, ...]; processesPerNode says how many of a node"
            yield Mistake("command[0]", show(program), rule, way_out)
        for index, argument in enumerate(self.command):
            _, text = split_argument(argument)
            if text is not None:
                yield from location_mistakes(f"command[{index}]", (text,), single=True)

    @property
    def locations(self) -> tuple[str, ...]:
        """Every location in the arguments."""
        parts = (split_argument(argument)[1] for argument in self.command)
        return tuple(text for text in parts if text is not None)


def split_argument(argument: str) -> tuple[str, str | None]:
    """An argument that is a location in a volume claim, or an option that has one as its value
    (`--data=pvc://corpus/wiki`), as what stands before the location, and the location; any other
    argument, and None."""
    if argument.startswith(_CLAIM):
        return "", argument
    head, sign, value = argument.partition("=")
    if sign and head.startswith("-") and value.startswith(_CLAIM):
        return head + sign, value
    return argument, None
