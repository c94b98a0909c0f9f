"""`lmtrainer compat SCRIPT FLAGS...`: runs the command line of an earlier kit.

    lmtrainer compat run_mlm.py --train_dir text ...
    lmtrainer compat python -m torch.distributed.launch --nproc_per_node=4 run_bert.py ...
    lmtrainer compat thai:train_tokenizer.py ...      of two scripts of one name, that of a kit
    lmtrainer compat run_bert.py --help               its flags, and what they are here

A line on standard error says what became of each flag.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator

from lmtrainer.commands.running import carry_out

HELPS = ("-h", "--help")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="print what would be run, as JSON")
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="a script and its flags, as they were typed; without one, a list of them",
    )


def run(given: argparse.Namespace) -> int:
    """Translate and carry out; the exit code of the first stage that fails, else 0."""
    return carry_out(lambda: _run(given.words, dry=given.dry_run))


def _run(words: list[str], *, dry: bool) -> int:
    from lmtrainer.commands.replay import carry_out_steps
    from lmtrainer.compat import translate
    from lmtrainer.compat.localfiles import LocalFiles

    if not words:
        print("\n".join(_scripts()))
        return 0
    if words[-1] in HELPS:
        print("\n".join(_flags(words)))
        return 0
    translation = translate(words, os.environ, LocalFiles())
    for note in translation.notes:
        print(f"lmtrainer: {note}", file=sys.stderr, flush=True)
    if dry:
        from lmtrainer.compat.printing import plain

        print(json.dumps(plain(translation), indent=1, allow_nan=False))
        return 0
    return carry_out_steps(translation)


def _scripts() -> Iterator[str]:
    from lmtrainer.compat.mapping import COMMANDS

    for command in COMMANDS:
        yield f"{command.kit + ':' + command.script:<36}{command.help}"


def _flags(words: list[str]) -> Iterator[str]:
    """The table of a script, one line a flag."""
    from lmtrainer.compat.commandline import take_apart
    from lmtrainer.compat.mapping import find

    command = find(take_apart(words[:-1], {}))
    yield f"{command.kit}:{command.script}: {command.help}"
    for flag in command.flags.values():
        default = "" if flag.default is None else f" ({flag.default})"
        yield f"  --{flag.name}{default}: {flag.fate}: {flag.text}"
