"""`lmjob VERB ...`: one verb, one module. A verb's module is imported when the verb is used, and
none of them imports torch.

A module of a verb has HELP (one line), `add_arguments(parser)` and `run(arguments) -> exit code`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lmjob import __version__
from lmtrainer.config.mistakes import close_word

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "run": "lmjob.cli.run",
        "validate": "lmjob.cli.validate",
        "plan": "lmjob.cli.plan",
        "render": "lmjob.cli.render",
        "convert": "lmjob.cli.convert",
        "cp": "lmjob.cli.cp",
    }
)

USAGE = 2
"""Exit code of a command line that makes no sense, as argparse has it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = arguments[0] if arguments else ""
    if verb in VERBS:
        return _carry_out(verb, arguments[1:])
    if verb in ("-h", "--help", "help"):
        print(_help())
        return 0
    if verb in ("-V", "--version"):
        print(f"lmjob {__version__}")
        return 0
    print(_unknown(verb) if verb else _help(), file=sys.stderr)
    return USAGE


def _carry_out(verb: str, arguments: Sequence[str]) -> int:
    module: Any = importlib.import_module(VERBS[verb])
    parser = argparse.ArgumentParser(prog=f"lmjob {verb}", description=module.HELP)
    module.add_arguments(parser)
    try:
        return int(module.run(parser.parse_args(arguments)))
    except BrokenPipeError:
        # Who read our output has gone: nothing is left to say, not even at the end of Python.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _unknown(verb: str) -> str:
    near = close_word(verb, VERBS)
    meant = f"; did you mean {near}?" if near else ""
    return f"lmjob: no verb {verb!r}{meant}\n{_help()}"


def _help() -> str:
    lines = ["usage: lmjob VERB ...", ""]
    lines += [f"  {verb:<10}{_summary(verb)}" for verb in VERBS]
    return "\n".join([*lines, "", "lmjob VERB --help says more of a verb."])


def _summary(verb: str) -> str:
    module: Any = importlib.import_module(VERBS[verb])
    return str(module.HELP)
