"""Measurements beside peers, in one run: `python -m tests.benchmarks NAME --help`."""

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
    for name, (help_line, add_options, run) in BENCHMARKS.items():
        one = names.add_parser(name, help=help_line)
        add_options(one)
        one.add_argument("--json", metavar="FILE", help="also write the result there")
        one.set_defaults(run=run)
    arguments = parser.parse_args()
    result = arguments.run(arguments)
    result["machine"] = {"cpus": os.cpu_count(), "processor": platform.machine()}
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1, default=str) + "\n")
    return 0


def _rounds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="of each side, in turn")


def _train_options(parser: argparse.ArgumentParser) -> None:
    _rounds(parser)
    parser.add_argument("--steps", type=int, default=15, help="optimizer steps of a round")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--family", choices=("bert", "gpt2"), default="bert")
    parser.add_argument("--preset", default="mini", help="size of the model")
    parser.add_argument("--lengths", choices=("mixed", "blocks"), default="mixed")
    parser.add_argument("--length", type=int, default=128, help="longest sequence")
    parser.add_argument("--batch", type=int, default=32, help="sequences of a step")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peer-precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peer-micro-batch", type=int, help="sequences that the peer has at once")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


def _train(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import train

    setting = train.Setting(
        family=arguments.family,
        preset=arguments.preset,
        lengths=arguments.lengths,
        length=arguments.length,
        batch=arguments.batch,
        precision=arguments.precision,
        peer_precision=arguments.peer_precision,
        peer_micro_batch=arguments.peer_micro_batch,
        device=arguments.device,
    )
    return train.main(
        setting, rounds=arguments.rounds, steps=arguments.steps, threads=arguments.threads
    )


def _encode_options(parser: argparse.ArgumentParser) -> None:
    _rounds(parser)
    parser.add_argument("--tokenizer", choices=("wordpiece", "bytebpe"), default="wordpiece")
    parser.add_argument("--megabytes", type=int, default=20, help="of text")


def _encode(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import encode

    return encode.main(arguments.tokenizer, rounds=arguments.rounds, megabytes=arguments.megabytes)


def _processes_options(parser: argparse.ArgumentParser) -> None:
    _rounds(parser)
    parser.add_argument("--megabytes", type=int, default=150, help="of text")


def _processes(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import processes

    return processes.main(rounds=arguments.rounds, megabytes=arguments.megabytes)


def _loader_options(parser: argparse.ArgumentParser) -> None:
    _rounds(parser)
    parser.add_argument("--steps", type=int, default=200, help="batches of a round")


def _loader(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import loader

    return loader.main(rounds=arguments.rounds, steps=arguments.steps)


def _checkpoint_options(parser: argparse.ArgumentParser) -> None:
    _rounds(parser)
    parser.add_argument("--preset", default="small", help="size of the model")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)


def _checkpoint(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import checkpoint

    return checkpoint.main(
        rounds=arguments.rounds, preset=arguments.preset, threads=arguments.threads
    )


def _start(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import start

    return start.main(rounds=arguments.rounds)


def _operator_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=30, help="idle jobs, one at a time")
    parser.add_argument("--parts", default="idle,burst,large,poison", help="what is measured")
    parser.add_argument("--only", default="", help="subjects: floor, naive, ours; all if empty")
    parser.add_argument("--cluster", default="bench", help="name of the cluster that is made")
    parser.add_argument("--keep", action="store_true", help="use it if it is up; leave it up")


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


def _instances_options(parser: argparse.ArgumentParser) -> None:
    _rounds(parser)
    parser.add_argument("--length", type=int, default=128, help="of a pair at most")


def _instances(arguments: argparse.Namespace) -> dict[str, Any]:
    from tests.benchmarks import instances

    return instances.main(rounds=arguments.rounds, length=arguments.length)


BENCHMARKS = {
    "train": ("training steps beside HF Trainer", _train_options, _train),
    "encode": ("text to a packed file beside datasets.map", _encode_options, _encode),
    "checkpoint": (
        "what a checkpoint holds up, beside torch.save",
        _checkpoint_options,
        _checkpoint,
    ),
    "processes": ("preparation by two processes beside one", _processes_options, _processes),
    "loader": ("memory map to masked batch beside a DataLoader", _loader_options, _loader),
    "instances": ("pairs of sentences beside a plain builder", _instances_options, _instances),
    "start": ("process start to first step beside HF Trainer", _rounds, _start),
    "operator": ("the operator beside a floor and a plain one", _operator_options, _operator),
}

if __name__ == "__main__":
    sys.exit(main())
