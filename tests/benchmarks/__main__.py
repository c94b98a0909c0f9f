"""`python -m tests.benchmarks train [--rounds 5] [--json FILE]`: ours beside a peer, in one run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

BENCHMARKS = ("train",)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--rounds", type=int, default=5, help="of each side, in turn")
    parser.add_argument("--steps", type=int, default=15, help="optimizer steps of a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", metavar="FILE", help="also write the result there")
    arguments = parser.parse_args()

    from tests.benchmarks import train

    result = train.main(rounds=arguments.rounds, steps=arguments.steps, threads=arguments.threads)
    result["machine"] = {"cpus": os.cpu_count(), "processor": platform.machine()}
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
