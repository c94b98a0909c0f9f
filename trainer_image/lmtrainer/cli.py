"""The command line: `lmtrainer launch --stage STAGE --config FILE`, `send` and `receive` for
`lmjob cp`, and the commands of `lmtrainer.commands`. Exit codes: `contract.exits`.

What a command needs is imported when it runs, so that `--version` and `--help` answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from types import MappingProxyType

from lmtrainer import __version__
from lmtrainer.commands import compat, compile, export, instances, run, segment, test, vocab
from lmtrainer.contract.arguments import (
    add_launch_arguments,
    add_receive_arguments,
    add_send_arguments,
)

COMMANDS = MappingProxyType(
    {
        "run": run,
        "compat": compat,
        "compile": compile,
        "test": test,
        "export": export,
        "vocab": vocab,
        "segment": segment,
        "instances": instances,
    }
)
"""What a user does by hand, before, instead of or after a job."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    given = build_parser().parse_args(argv)
    if given.command == "rank":
        from lmtrainer.launch.rank import run_rank

        return run_rank(given.stage, given.config, os.environ)
    if given.command in COMMANDS:
        return int(COMMANDS[given.command].run(given))
    if given.command in ("send", "receive"):
        from lmtrainer import transfer

        return transfer.run(given)
    from lmtrainer.launch.node import run_node

    code = run_node(given.stage, given.config, os.environ)
    # A thread may be stuck in a store that is gone: the interpreter must not wait for it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lmtrainer",
        description="Trains language models. Started by `lmjob run` and by the operator.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    launch = commands.add_parser("launch", help="process 1 of a node: starts and watches its ranks")
    rank = commands.add_parser("rank", help="one rank; started by launch only")
    for command in (launch, rank):
        add_launch_arguments(command)
    add_send_arguments(commands.add_parser("send", help="a file or folder to standard output"))
    receive = commands.add_parser("receive", help="what `send` sends, from standard input")
    add_receive_arguments(receive)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").partition(": ")[2].partition("\n")[0]
        module.add_arguments(commands.add_parser(name, help=summary.rstrip(".")))
    return parser
