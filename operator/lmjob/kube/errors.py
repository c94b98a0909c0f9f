"""What may come back from the API server instead of an answer; raised by `lmjob.kube.client`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class RequestError(Exception):
    """A request that was not carried out. Its text is the server's own message."""

    def __init__(self, message: str, *, code: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        """HTTP status; 0 where no answer came."""
        self.reason = reason
        """The API server's word, such as "AlreadyExists"; may be empty."""


class Conflict(RequestError):
    """The object is not the one that was read: somebody wrote in between, or our own write went
    through and its answer was lost. Read again."""


class AlreadyExists(RequestError):
    """An object of this name is there. Compare its uid or owner before taking it for one's own."""


class NotFound(RequestError):
    """The object is gone; on create, its namespace."""


class Refused(RequestError):
    """The server understood and will not (quota, Pod Security, invalid, no right). The same
    request may succeed later: a quota grows, a right is given."""


class Expired(RequestError):
    """The page of a listing is no longer there; never leaves the client."""


class Unavailable(RequestError):
    """No answer, or none that says anything about the request: it may have been carried out."""

    def __init__(
        self, message: str, *, code: int = 0, reason: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, code=code, reason=reason)
        self.retry_after = retry_after
        """Seconds that the server asks to wait at least."""


def from_answer(
    verb: str, code: int, status: Mapping[str, Any], headers: Mapping[str, str]
) -> RequestError:
    """The error of an answer with a code of 400 or more. `status` is the server's Status object,
    or what else it sent."""
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or f"the API server answered {code}")
    if code == 409 and verb == "create":
        if reason == "AlreadyExists":
            return AlreadyExists(message, code=code, reason=reason)
        # Something behind the object was contended (the usage of a quota): worth another try.
        return Unavailable(message, code=code, reason=reason)
    known = _BY_CODE.get(code)
    if known is not None:
        return known(message, code=code, reason=reason)
    if code in _UNAVAILABLE or code >= 500:
        after = _seconds(headers.get("Retry-After", ""))
        return Unavailable(message, code=code, reason=reason, retry_after=after)
    return Refused(message, code=code, reason=reason)


_BY_CODE: Mapping[int, type[RequestError]] = {404: NotFound, 409: Conflict, 410: Expired}
_UNAVAILABLE = frozenset({401, 408, 425, 429})
"""401: our own credentials, nothing that the request could mend."""


def _seconds(header: str) -> float | None:
    """Retry-After in seconds; a date, which the API server never sends, counts as absent."""
    try:
        seconds = float(header)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
