"""The user's own program in place of our ranks: what it is told, and how a rank becomes it.
Callers: `own`, which watches it, and `rank`, which becomes it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from lmtrainer.config import CommandConfig
from lmtrainer.config.command import split_argument
from lmtrainer.contract import command as names
from lmtrainer.contract.environment import NodeEnvironment
from lmtrainer.faults import UserError
from lmtrainer.text.sources import folder


def told(config: CommandConfig, node: NodeEnvironment) -> dict[str, str]:
    """The variables of `contract.command`. UserError for an output that is nowhere."""
    return {
        names.OUTPUT: str(folder(config.output.to, node.claims, "output.to")),
        names.ATTEMPT: str(node.attempt),
        names.PROGRESS: str(Path(node.node_dir) / names.PROGRESS_LINES),
    }


def arguments(config: CommandConfig, claims: Mapping[str, str]) -> list[str]:
    """The command with a path on this node for each location; everything else is as it was written.
    UserError for a claim that has no folder here."""
    found = []
    for index, argument in enumerate(config.command):
        before, location = split_argument(argument)
        if location is not None:
            before += str(folder(location, claims, f"command[{index}]"))
        found.append(before)
    return found


def become(config: CommandConfig, node: NodeEnvironment, env: Mapping[str, str]) -> NoReturn:
    """Replace this process by the program: no shell reads a word of it. UserError if there is no
    such program."""
    argv = arguments(config, node.claims)
    # Python ignores these for itself; a program expects to begin without that.
    ignored = {
        number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)
    }
    try:
        os.execvpe(argv[0], argv, env)
    except OSError as fault:
        for number, handler in ignored.items():
            signal.signal(number, handler)
        raise UserError(
            f"command: {argv[0]!r} cannot be started here ({fault.strerror}); "
            "name a program that is in the image, by its path or on its PATH"
        ) from None
