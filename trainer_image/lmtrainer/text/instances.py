"""Ready-made instances: one JSON object a line, or a row of a table, masked already.

The form is that of programs that follow google-research/bert's create_pretraining_data.py and write
for transformers: exactly five columns, padded or not, labels -100 where nothing is to be predicted.
Called by `text.records`, and by `dataset.export`, which writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from lmtrainer.faults import UserError

KEYS = ("input_ids", "attention_mask", "token_type_ids", "labels", "next_sentence_label")
NOTHING = -100
"""Label of a place where nothing is to be predicted."""

Ints = NDArray[np.int64]


class Instance(NamedTuple):
    """What a masked pair of sentences is beside its tokens."""

    first: int
    """Tokens of the first segment."""
    is_random: bool
    """The second segment does not follow the first."""
    places: NDArray[np.uint32]
    """Places to predict, ascending"""
    labels: NDArray[np.uint32]
    """and what stood there."""


def read_instance(where: str, row: Mapping[str, Any]) -> tuple[NDArray[np.uint32], Instance]:
    """Tokens without padding, and the rest. UserError names what is missing, too much or wrong."""
    _check_keys(where, row)
    ids, real, segments, labels = (_ints(where, name, row[name]) for name in KEYS[:4])
    for name, values in zip(KEYS[1:4], (real, segments, labels), strict=True):
        if len(values) != len(ids):
            _refuse(where, f"{name} has {len(values)} values and input_ids {len(ids)}")
    size, first = _ones_then_zeros(real), _ones_then_zeros(1 - segments[: int(real.sum())])
    if not size:
        _refuse(where, "attention_mask must be ones, then zeros, with one of them at least")
    if first is None:
        _refuse(where, "token_type_ids must be zeros, then ones")
    places = np.flatnonzero(labels != NOTHING)
    if len(places) and (places[-1] >= size or labels[places].min() < 0):
        _refuse(where, "labels must be -100 or an id, and -100 in the padding")
    if ids[:size].min() < 0:
        _refuse(where, "input_ids must be ids from 0 on")
    instance = Instance(
        first, _label(where, row[KEYS[4]]), _unsigned(places), _unsigned(labels[places])
    )
    return _unsigned(ids[:size]), instance


def _check_keys(where: str, row: Mapping[str, Any]) -> None:
    missing = [name for name in KEYS if name not in row]
    extra = [str(name) for name in row if name not in KEYS]
    if missing or extra:
        lacks = f"lacks {', '.join(missing)}" if missing else ""
        more = f"has {', '.join(extra[:9])}, too" if extra else ""
        faults = " and ".join(word for word in (lacks, more) if word)
        _refuse(where, f"{faults}; an instance has exactly {', '.join(KEYS)}")


def _ints(where: str, name: str, value: Any) -> Ints:
    try:
        found = np.array(value)
    except (ValueError, OverflowError):
        found = np.array(None)
    if not isinstance(value, Sequence) or found.ndim != 1 or found.dtype.kind not in "iu":
        _refuse(where, f"{name} must be a list of whole numbers")
    if found.max() >= 2**32:
        _refuse(where, f"{name} holds {found.max()}")
    return found.astype(np.int64)


def _ones_then_zeros(values: Ints) -> int | None:
    """How many ones there are, None if they are not followed by zeros alone."""
    count = int((values == 1).sum())
    fits = (values[:count] == 1).all() and (values[count:] == 0).all()
    return count if fits else None


def _label(where: str, value: Any) -> bool:
    plain = value[0] if isinstance(value, Sequence) and len(value) == 1 else value
    if plain not in (0, 1):
        _refuse(where, "next_sentence_label must be 0, or 1 for a random second sentence")
    return bool(plain)


def _unsigned(values: Ints) -> NDArray[np.uint32]:
    return values.astype(np.uint32)


def _refuse(where: str, fault: str) -> NoReturn:
    raise UserError(f"{where}: {fault}")
