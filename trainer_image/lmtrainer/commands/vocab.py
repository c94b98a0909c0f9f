"""`lmtrainer vocab FOLDER`: the vocabulary of a tokenizer, one token a line in the order of ids.

A token that holds a line break is written with a backslash: `\\n`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lmtrainer.commands.running import carry_out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="of a tokenizer, or of a model with one")
    parser.add_argument("--to", metavar="FILE", help="written whole; left out, standard output")


def run(given: argparse.Namespace) -> int:
    """Write the vocabulary."""
    return carry_out(lambda: _list(given))


def _list(given: argparse.Namespace) -> None:
    from lmtrainer.durable import make_folder, replace
    from lmtrainer.vocab.listing import lines

    content = "".join(f"{line}\n" for line in lines(Path(given.folder))).encode()
    if given.to is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    target = Path(given.to).absolute()
    make_folder(target.parent)
    replace(target, content)
