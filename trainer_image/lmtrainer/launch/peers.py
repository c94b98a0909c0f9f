"""Exceptions that tell of another rank's end, or of the store's, rather than of the rank's own.

Judged by class name and text, without importing torch, and conservatively: what is not known stays
a failure of the rank's own. Seen with torch 2.13 and gloo; the NCCL texts are from its messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lmtrainer.contract.exits import ExitType
from lmtrainer.faults import exit_type

_GLOO = re.compile(
    r"gloo/transport/.*(Connection closed by peer|Connection reset by peer|Broken pipe"
    r"|Timed out waiting \d+ms for (send|recv) operation)",
    re.DOTALL,
)
_NCCL = re.compile(
    r"ncclRemoteError|remote process exited|Watchdog caught collective operation timeout"
)
_STORE = frozenset({"DistNetworkError", "DistStoreError"})


def exit_type_of(error: BaseException) -> ExitType:
    """The exit type of an exception that ended a rank."""
    found = exit_type(error)
    if found is not ExitType.FAILED:
        return found
    for cause in _chain(error):
        if isinstance(cause, RuntimeError) and (
            _GLOO.search(str(cause)) or _NCCL.search(str(cause))
        ):
            return ExitType.PEER_LOST
        if type(cause).__name__ in _STORE:
            return ExitType.RENDEZVOUS_FAILED
    return ExitType.FAILED


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
