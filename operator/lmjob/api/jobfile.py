"""Reads a job file as kubectl would: JSON or YAML, one document. What may be misunderstood, or may
do harm, is refused with line and column."""

from __future__ import annotations

import json
import math
from typing import Any

from lmjob.api.yamltree import MAX_DEPTH, MAX_NODES, JobFileError, at, read_yaml

__all__ = ["JobFileError", "read_job_file"]

MAX_BYTES = 1024 * 1024
"""Kubernetes keeps no larger objects."""


def read_job_file(data: bytes) -> Any:
    """The document in the bytes of a file, for `parse_job`. JobFileError if there is none."""
    if len(data) > MAX_BYTES:
        raise JobFileError(f"has {len(data)} bytes; a job has at most {MAX_BYTES}")
    text = _text(data)
    value = _json(text) if text.lstrip().startswith("{") else None
    value = read_yaml(text) if value is None else value
    if value is None:
        raise JobFileError("holds no document")
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        before = data[: fault.start]
        column = len(before) - before.rfind(b"\n")
        rule = f"byte 0x{data[fault.start]:02x} is not UTF-8; save the file as UTF-8"
        raise at(before.count(b"\n") + 1, column, rule) from fault


class _DuplicateError(Exception):
    pass


def _json(text: str) -> Any:
    """The value of a JSON text; None if it is none, and may yet be YAML."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse,
            parse_int=_integer,
            parse_float=_float,
        )
        _measure(value)
    except RecursionError:
        raise JobFileError(f"is nested deeper than {MAX_DEPTH} levels") from None
    except _DuplicateError as fault:
        # JSON is YAML, and that reader knows lines. No string of JSON holds a tab.
        read_yaml(text.replace("\t", " "))
        raise JobFileError(str(fault)) from None
    except json.JSONDecodeError:
        return None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _DuplicateError(f'the key "{twice[:60]}" stands twice in one object')
    return found


def _refuse(word: str) -> Any:
    raise json.JSONDecodeError(f"{word} is no JSON", "", 0)


def _integer(digits: str) -> int | float:
    number = int(digits) if len(digits) <= 20 else 2**63
    return number if -(2**63) <= number < 2**63 else _float(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise JobFileError(f"the number {digits[:40]} does not fit 64 bits")
    return number


def _measure(value: Any) -> None:
    """Refuse what `read_yaml` would refuse for its size."""
    level, nodes = [value], 1
    for _ in range(MAX_DEPTH + 1):
        items = [item for item in level if isinstance(item, dict | list)]
        level = [v for x in items for v in (x.values() if isinstance(x, dict) else x)]
        nodes += len(level)
        if nodes > MAX_NODES:
            raise JobFileError(f"has more than {MAX_NODES} values")
    if level:
        raise JobFileError(f"is nested deeper than {MAX_DEPTH} levels")
