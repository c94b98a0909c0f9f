"""The command line of a node: `lmtrainer launch --stage STAGE --config FILE`."""

from __future__ import annotations

import argparse
from typing import Literal, get_args

Stage = Literal["prepare", "train", "evaluate"]
STAGES: tuple[Stage, ...] = get_args(Stage)


def launch_arguments(stage: Stage, config_path: str) -> tuple[str, ...]:
    """What stands after the program's name."""
    return ("launch", "--stage", stage, "--config", config_path)


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """The reading side of `launch_arguments`."""
    parser.add_argument("--stage", required=True, choices=STAGES, help="what this node does")
    parser.add_argument(
        "--config", required=True, metavar="FILE", help="the run's configuration, JSON"
    )
