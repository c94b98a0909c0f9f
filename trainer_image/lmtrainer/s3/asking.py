"""One question to a store, and what its answer means.

s3fs and botocore try some faults again by themselves, within seconds; here a store gets longer.
What no other try mends is a mistake of the user's, told with the location and the way out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from lmtrainer.faults import UserError

WAITS = (1.0, 4.0, 10.0)
"""Seconds before each further try."""

T = TypeVar("T")

_RIGHTS = "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"
_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_DENIED = (
    "is not allowed",
    f"give a key ({_KEYS}) with the rights {_RIGHTS}",
)
_NO_BUCKET = (
    "there is no such bucket",
    "create it, or correct its name or the endpoint (AWS_ENDPOINT_URL)",
)
_NO_KEY = ("there are no credentials", f"set {_KEYS}, in a cluster by pods.env out of a Secret")
_REFUSED = ("is refused", "check the name, the region and the endpoint (AWS_...)")

_PASSING = frozenset(
    {
        *("RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "OperationAborted"),
        *("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "NoSuchUpload"),
    }
)
"""Codes of a client's error that another try may not meet."""
_NO_CREDENTIALS = frozenset(
    {
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
        "ProfileNotFound",
    }
)


class StoreError(Exception):
    """A store that does not answer, or not rightly, however often it is asked."""


def ask(
    act: Callable[[], T], field: str, url: str, *, sleep: Callable[[float], None] = time.sleep
) -> T:
    """What `act` returns, at the last after a few tries. UserError, which names `field`, for what
    the store refuses; StoreError if it cannot be reached."""
    for wait in (*WAITS, None):
        try:
            return act()
        except Exception as fault:
            told = refusal(fault)
            if told is not None:
                rule, way_out = told
                raise UserError(f"{field}: {url}: {rule} ({_words(fault)}); {way_out}") from fault
            if not is_passing(fault):
                raise
            if wait is None:
                tries = f"{len(WAITS) + 1} tries"
                message = f"{field}: {url}: the store fails after {tries} ({_words(fault)})"
                raise StoreError(message) from fault
            print(f"{url}: {_words(fault)}; again in {wait:g} s", flush=True)
            sleep(wait)
    raise AssertionError


def refusal(fault: Exception) -> tuple[str, str] | None:
    """The rule and the way out of what no other try mends; None for anything else."""
    from botocore.exceptions import BotoCoreError

    response = _response(fault)
    if response is not None:
        return _refused(_code(response), _status(response))
    if type(fault).__name__ in _NO_CREDENTIALS:
        return _NO_KEY
    settings = isinstance(fault, ValueError) and "ndpoint" in str(fault)
    if settings or (isinstance(fault, BotoCoreError) and not is_passing(fault)):
        return _REFUSED
    return None


def is_passing(fault: Exception) -> bool:
    """May another try succeed?"""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    response = _response(fault)
    if response is not None:
        return _refused(_code(response), _status(response)) is None
    if isinstance(fault, OSError) and fault.filename is not None:
        return False  # of a file of ours
    unreached = (exceptions.ConnectionError, exceptions.HTTPClientError)
    broken = (exceptions.IncompleteReadError, exceptions.FlexibleChecksumError, ResponseParserError)
    return isinstance(fault, (OSError, *unreached, *broken))


def is_missing(fault: Exception) -> bool:
    """Is it only that there is no such object? (Of a bucket that is not there, HEAD tells no
    more.)"""
    response = _response(fault)
    if response is None:
        return isinstance(fault, FileNotFoundError)  # s3fs has looked
    return _code(response) in ("NoSuchKey", "404", "NotFound")


def _refused(code: str, status: int) -> tuple[str, str] | None:
    if code in _PASSING or status >= 500 or status in (408, 429):
        return None
    if code == "NoSuchBucket":
        return _NO_BUCKET
    return _DENIED if status in (401, 403) else _REFUSED


def _response(fault: Exception) -> Any:
    """The answer of the store in an error of botocore's, or of s3fs's, which stands for one."""
    for found in (fault, fault.__cause__):
        response = getattr(found, "response", None)
        if isinstance(response, dict):
            return response
    return None


def _code(response: Any) -> str:
    return str(response.get("Error", {}).get("Code", ""))


def _status(response: Any) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _words(fault: Exception) -> str:
    code = _code(_response(fault) or {}) or type(fault).__name__
    return f"{code}: {' '.join(str(fault).split())}"[:500]
