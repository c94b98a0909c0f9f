"""`lmjob cp SRC DST`: files and folders into a volume claim of the cluster, and out of it.

lmjob cp ./text pvc://corpus/wiki
lmjob cp pvc://results/bert-small/model ./model
"""

from __future__ import annotations

import argparse
import contextlib
import posixpath
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from lmjob.api.names import DEFAULT_TRAINER_IMAGE
from lmjob.cli.copypod import PodError, copying_pod
from lmjob.cli.kubectl import Exec, Kubectl, KubectlError, find_kubectl, running
from lmjob.render.closed import NotAllowedError
from lmjob.render.copypod import CONTAINER, claim_folder
from lmtrainer.config.sources import Location, parse_location
from lmtrainer.contract.arguments import receive_arguments, send_arguments
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.packing import Summary, TreeError, pack
from lmtrainer.contract.unpacking import landing, unpack

HELP = "copy files into a volume claim of the cluster, or out of it"

DETAILS = """\
One of SRC and DST is pvc://CLAIM/PATH, the other one a path on this machine. As with `cp -r`:

  a folder is copied with everything in it
  if DST is a folder, or ends with a slash, the copy goes into it under the name of SRC
  otherwise DST becomes the name of the copy; folders above it are made
  SRC/. stands for what is in the folder SRC
  a folder that is there keeps what else it has; files of the same name are replaced

Other than with `cp`, nothing is seen under its name before everything has arrived and its sha256
is right: a copy that was cut leaves nothing. Links are copied as links and must not lead out of
what is copied.

The copy goes through a pod with the claim, which runs as user 65532 without any rights and is
deleted at the end, after Ctrl-C too. It is reached by your kubectl.
"""

SIGNALLED = 128


class CopyError(Exception):
    """The copy failed; the message says why and, where there is one, the way out."""


@dataclass(frozen=True)
class Place:
    """A SRC or DST that was read."""

    text: str
    location: Location
    slash: bool
    """Ends with a slash: it shall be a folder."""

    @property
    def remote(self) -> bool:
        return self.location.scheme == "pvc"

    @property
    def name(self) -> str:
        """What a copy of it is called; "." stands for the contents."""
        base = posixpath.basename(self.location.path.rstrip("/"))
        if self.remote and not base:
            return self.location.authority
        return "." if base in ("", ".", "..") else base


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of `cp`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = DETAILS
    parser.add_argument("source", metavar="SRC", help="a path, or pvc://CLAIM/PATH")
    parser.add_argument("destination", metavar="DST", help="a path, or pvc://CLAIM/PATH")
    parser.add_argument("--namespace", "-n", metavar="NS", help="of the claim (default: kubectl's)")
    parser.add_argument(
        "--image",
        default=DEFAULT_TRAINER_IMAGE,
        metavar="IMAGE",
        help="of the pod; any that has lmtrainer (default: %(default)s)",
    )
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig")
    parser.add_argument("--kubeconfig", metavar="FILE", help="how to reach the cluster")
    parser.add_argument(
        "--timeout",
        type=int,
        default=3600,
        metavar="SECONDS",
        help="of the whole copy; the pod has at most 300 of them to start (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out a copy."""
    try:
        source, destination = _places(arguments)
    except CopyError as fault:
        return _complain(str(fault), ExitType.USER_ERROR.code)
    try:
        kubectl = find_kubectl(_options(arguments))
        with _signals_as_exceptions():
            where, summary = _copy(kubectl, source, destination, arguments)
    except (CopyError, PodError, KubectlError, NotAllowedError, TreeError) as fault:
        return _complain(str(fault), ExitType.FAILED.code)
    except OSError as fault:
        where = f"{fault.filename}: " if fault.filename else ""
        return _complain(f"{where}{fault.strerror or fault}", ExitType.FAILED.code)
    except _SignalledError as stop:
        return _complain("stopped; nothing of the copy was kept", SIGNALLED + stop.number)
    count = f"{summary.files} file{'s' if summary.files != 1 else ''}"
    print(f"copied {count}, {summary.size:,} bytes to {where} (sha256 {summary.sha256})")
    return ExitType.SUCCEEDED.code


def _complain(text: str, code: int) -> int:
    print(f"lmjob cp: {text}", file=sys.stderr)
    return code


def _places(arguments: argparse.Namespace) -> tuple[Place, Place]:
    source, destination = _place(arguments.source), _place(arguments.destination)
    if source.remote == destination.remote:
        raise CopyError("one of SRC and DST must be pvc://CLAIM/PATH, the other one a path here")
    if not source.remote and not Path(source.text).exists():
        raise CopyError(f"{source.text}: there is no such file or folder")
    if arguments.timeout < 1:
        raise CopyError(f"--timeout: must be at least 1 second (got {arguments.timeout})")
    return source, destination


def _place(text: str) -> Place:
    try:
        location = parse_location(text)
    except ValueError as fault:
        raise CopyError(f"{text!r} {fault}") from fault
    if location.scheme not in ("pvc", "file"):
        raise CopyError(f"{text}: must be pvc://CLAIM/PATH or a path here")
    return Place(text, location, text.endswith("/"))


def _options(arguments: argparse.Namespace) -> list[str]:
    chosen = ("namespace", "context", "kubeconfig")
    given = [(name, getattr(arguments, name)) for name in chosen]
    return [f"--{name}={value}" for name, value in given if value]


def _copy(
    kubectl: Kubectl, source: Place, destination: Place, arguments: argparse.Namespace
) -> tuple[str, Summary]:
    """Where it went, and what."""
    claim = (source if source.remote else destination).location.authority
    with copying_pod(
        kubectl,
        image=arguments.image,
        claim=claim,
        read_only=source.remote,
        seconds=arguments.timeout,
    ) as pod:
        transfer = _download if source.remote else _upload
        return transfer(kubectl, pod, source, destination)


def _upload(kubectl: Kubectl, pod: str, source: Place, destination: Place) -> tuple[str, Summary]:
    place = destination.location
    words = receive_arguments(
        claim_folder(place.authority), place.path or ".", source.name, into=destination.slash
    )
    with running(kubectl, pod, CONTAINER, ("lmtrainer", *words)) as far:
        assert far.process.stdin is not None and far.process.stdout is not None
        sent = None
        with contextlib.suppress(BrokenPipeError):  # the far end says why it stopped reading
            sent = pack(Path(source.text), far.process.stdin)
            far.process.stdin.close()
        answer = far.process.stdout.read()
        _check(far)
    if sent is None or answer.strip() != sent.text():
        raise CopyError("what arrived is not what was sent; copy it again")
    return str(place), sent


def _download(kubectl: Kubectl, pod: str, source: Place, destination: Place) -> tuple[str, Summary]:
    place = source.location
    final = landing(Path(destination.text), source.name, into=destination.slash)
    words = send_arguments(claim_folder(place.authority), place.path or ".")
    with running(kubectl, pod, CONTAINER, ("lmtrainer", *words)) as far:
        assert far.process.stdin is not None and far.process.stdout is not None
        far.process.stdin.close()
        try:
            summary = unpack(far.process.stdout, final)
        except TreeError:
            _check(far)  # its own reason is the better one
            raise
        _check(far)
    return str(final), summary


def _check(far: Exec) -> None:
    code, words = far.finish()
    if code:
        raise CopyError(words)


class _SignalledError(BaseException):
    """Ctrl-C or an order to end: what was begun must be undone on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        for one in orders:
            signal.signal(one, signal.SIG_IGN)  # a second one must not interrupt the undoing
        raise _SignalledError(number)

    known = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    orders = [order for order in known if signal.getsignal(order) is not signal.SIG_IGN]
    before = [signal.signal(order, stop) for order in orders]
    try:
        yield
    finally:
        for order, handler in zip(orders, before, strict=True):
            signal.signal(order, handler)
