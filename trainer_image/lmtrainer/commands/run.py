"""`lmtrainer run CONFIG`: carries out a configuration on this machine, without a job.

The configuration is that of `spec` in a job, as JSON or YAML: also `configuration.json`, which
every run leaves in its output folder with all defaults filled in.
"""

from __future__ import annotations

import argparse
import json
import sys

from lmtrainer.commands.running import carry_out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="file of the configuration")
    parser.add_argument("--to", metavar="FOLDER", help="output.to, instead of the file's")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="ranks; 1")
    parser.add_argument(
        "--print_config",
        "--print-config",
        action="store_true",
        help="print it resolved, run nothing",
    )


def run(given: argparse.Namespace) -> int:
    """All stages; the exit code of the first that fails, else 0."""
    return carry_out(lambda: _run(given))


def _run(given: argparse.Namespace) -> int:
    from pathlib import Path

    from lmtrainer.commands.replay.run import resolved
    from lmtrainer.commands.replay.stages import run_stage
    from lmtrainer.compat.documents import mapping_of
    from lmtrainer.compat.localfiles import LocalFiles
    from lmtrainer.compat.translation import Group
    from lmtrainer.config import document
    from lmtrainer.contract.arguments import STAGES
    from lmtrainer.durable import make_folder

    plain = mapping_of(given.config, LocalFiles())
    if given.to is not None:
        plain["output"] = {**plain.get("output", {}), "to": given.to}
    group = Group(processes=max(1, given.processes))
    run = resolved(plain, group)
    if given.print_config:
        json.dump(document(run), sys.stdout, indent=1, allow_nan=False)
        print()
        return 0
    folder = Path(run.output.to)
    make_folder(folder.absolute())
    for stage in STAGES:
        code = run_stage(stage, run, group if stage == "train" else Group(), folder)
        if code:
            return code
    return 0
