"""`lmtrainer compile CONFIG --cache FOLDER`: compiles the kernels of a run, and trains nothing.

A run with `torchCompile: true` whose environment names the folder as TORCHINDUCTOR_CACHE_DIR finds
them there. They are code: let nobody write there whom you would not let run a program.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmtrainer.commands.running import carry_out

if TYPE_CHECKING:
    from lmtrainer.config import ResolvedRun

CACHE = "TORCHINDUCTOR_CACHE_DIR"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="file of the configuration")
    parser.add_argument("--cache", required=True, metavar="FOLDER", help="where kernels go")


def run(given: argparse.Namespace) -> int:
    """One forward and backward pass of each phase, and no update."""
    return carry_out(lambda: _run(given))


def _run(given: argparse.Namespace) -> None:
    from lmtrainer.compat.documents import mapping_of
    from lmtrainer.compat.localfiles import LocalFiles

    print(fill(Path(given.cache), mapping_of(given.config, LocalFiles())))


def fill(folder: Path, document: Mapping[str, Any]) -> str:
    """Compile the kernels of a configuration into a folder; what that came to, for people."""
    from lmtrainer.commands.replay.run import resolved
    from lmtrainer.compat.translation import Group

    cache = folder.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    os.environ[CACHE] = str(cache)
    passes = compile_ahead(resolved({**document, "torchCompile": True}, Group()))
    files = sum(1 for path in cache.rglob("*") if path.is_file())
    return f"{passes} passes compiled, no update made; {files} files in {cache}"


def compile_ahead(run: ResolvedRun) -> int:
    """Compute the gradients of made-up rows, of two lengths so that no length is special. Returns
    the number of passes."""
    from lmtrainer.models import build
    from lmtrainer.parallel.world import alone
    from lmtrainer.text.sources import saved
    from lmtrainer.train.engine import Engine
    from lmtrainer.vocab import Vocabulary

    # No part that is compiled knows the vocabulary, and the rows are of its first token.
    words = Vocabulary(size=5, pad=0, cls=2, sep=3, mask=4, eos=3)
    folder = None if run.model.from_ is None else saved(run.model.from_, {}, "model.from")
    world = alone()
    passes = 0
    for index, phase in enumerate(run.phases):
        engine = Engine(
            build.for_run(run, words, folder).to(world.device), run, world, phase_index=index
        )
        for length in (phase.sequence_length, phase.sequence_length - 1):
            engine.rehearse(length)
            passes += 1
    return passes
