"""`lmtrainer send` and `lmtrainer receive`: the far end of `lmjob cp`, in a pod with the claim.

Nothing outside of one folder, the claim, is read or written, whatever the path or a link in the
claim says. One line on standard error says why a copy failed; `receive` prints the summary.
"""

from __future__ import annotations

import argparse
import errno
import sys
from pathlib import Path

from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.packing import TreeError, pack
from lmtrainer.contract.unpacking import landing, unpack
from lmtrainer.faults import UserError, exit_type


def run(given: argparse.Namespace) -> int:
    """Carry out one of the two; returns the exit code."""
    try:
        (send if given.command == "send" else receive)(given)
    except (TreeError, UserError) as fault:
        return _say(str(fault), ExitType.USER_ERROR)
    except OSError as fault:
        told = f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault)
        refused = fault.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR)
        return _say(told, ExitType.USER_ERROR if refused else exit_type(fault))
    return ExitType.SUCCEEDED.code


def send(given: argparse.Namespace) -> None:
    """Write what lies at the path to standard output."""
    path = inside(Path(given.root), given.path)
    if not path.exists():
        raise UserError(f"there is no {given.path} in the claim")
    pack(path, sys.stdout.buffer)


def receive(given: argparse.Namespace) -> None:
    """Read from standard input, put it into its place, print its summary."""
    path = inside(Path(given.root), given.path)
    final = landing(path, given.name, into=given.into)
    inside(Path(given.root), str(final))
    summary = unpack(sys.stdin.buffer, final)
    sys.stdout.buffer.write(summary.text() + b"\n")


def inside(root: Path, path: str) -> Path:
    """A path below `root`. UserError if it, or a link on its way, leads out."""
    found = root / path
    if not found.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{path} leads out of the claim; name a place inside it")
    return found


def _say(text: str, kind: ExitType) -> int:
    print(text, file=sys.stderr)
    return kind.code
