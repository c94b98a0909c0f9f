"""Measurements beside peers, in one run: `python -m tests.benchmarks NAME --help`.

`train`: the trainer beside HF Trainer. `operator`: the operator beside a floor and a plain one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    train = names.add_parser("train", help="the trainer beside HF Trainer")
    train.add_argument("--rounds", type=int, default=5, help="of each side, in turn")
    train.add_argument("--steps", type=int, default=15, help="optimizer steps of a round")
    train.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    operator = names.add_parser("operator", help="the operator beside a floor and a plain one")
    operator.add_argument("--jobs", type=int, default=30, help="idle jobs, one at a time")
    operator.add_argument("--parts", default="idle,burst,large,poison", help="what is measured")
    operator.add_argument("--only", default="", help="subjects: floor, naive, ours; all if empty")
    operator.add_argument("--cluster", default="bench", help="name of the cluster that is made")
    operator.add_argument("--keep", action="store_true", help="use it if it is up; leave it up")
    for one in (train, operator):
        one.add_argument("--json", metavar="FILE", help="also write the result there")
    arguments = parser.parse_args()
    result = _train(arguments) if arguments.name == "train" else _operator(arguments)
    result["machine"] = {"cpus": os.cpu_count(), "processor": platform.machine()}
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _train(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import train

    return train.main(rounds=arguments.rounds, steps=arguments.steps, threads=arguments.threads)


def _operator(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import operator

    return operator.main(
        parts=_words(arguments.parts),
        jobs=arguments.jobs,
        only=_words(arguments.only),
        name=arguments.cluster,
        keep=arguments.keep,
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


if __name__ == "__main__":
    sys.exit(main())
