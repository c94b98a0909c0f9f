"""What a launcher on this machine tells by HTTP. A launcher that does not answer in time is one
that is not ready, and tells nothing."""

from __future__ import annotations

import http.client

from lmtrainer.contract.reports import PROGRESS_PATH, READY_PATH, Progress, load

TIMEOUT_SECONDS = 0.5
"""The runner's loop stands still for so long at most."""

MAX_BYTES = 1 << 20


def is_ready(port: int) -> bool:
    """Whether the launcher says that its node is ready."""
    return _get(port, READY_PATH) is not None


def progress(port: int) -> Progress | None:
    """What the launcher knows of the progress of its stage."""
    text = _get(port, PROGRESS_PATH)
    try:
        return load(Progress, text) if text else None
    except ValueError:
        return None


def _get(port: int, path: str) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(MAX_BYTES)
        return body.decode("utf-8", "replace") if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
