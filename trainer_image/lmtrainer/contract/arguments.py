"""The command lines of the trainer: `launch --stage STAGE --config FILE` of a node, and `send` and
`receive` of a copy (`lmjob cp`)."""

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


def send_arguments(root: str, path: str) -> tuple[str, ...]:
    """Send what lies at `path` below the folder `root` to standard output."""
    return ("send", "--root", root, "--", path)


def receive_arguments(root: str, path: str, name: str, *, into: bool) -> tuple[str, ...]:
    """Receive something called `name` from standard input; `contract.unpacking.landing` says
    where it goes."""
    return ("receive", "--root", root, f"--name={name}", *(["--into"] if into else []), "--", path)


def add_send_arguments(parser: argparse.ArgumentParser) -> None:
    """The reading side of `send_arguments`."""
    parser.add_argument("--root", required=True, metavar="FOLDER", help="nothing outside is read")
    parser.add_argument("path", metavar="PATH", help="file or folder in it")


def add_receive_arguments(parser: argparse.ArgumentParser) -> None:
    """The reading side of `receive_arguments`."""
    parser.add_argument(
        "--root", required=True, metavar="FOLDER", help="nothing outside is written"
    )
    parser.add_argument("--name", required=True, metavar="NAME", help="what the copy is called")
    parser.add_argument("--into", action="store_true", help="PATH shall be a folder")
    parser.add_argument("path", metavar="PATH", help="destination in the folder")
