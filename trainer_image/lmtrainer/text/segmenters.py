"""Cuts text into words where white space does not: Thai, or any text by a program of the user's.

Called by `vocab` to train and to encode, and by `lmtrainer segment`. A tokenizer's folder cannot
hold a program, so text is cut first, SEPARATOR between words, and the tokenizer in the folder cuts
there. An own segmenter is a function from text to words, named by an entry point of the group
`lmtrainer.segmenters` of an installed package; words must be parts of the text, in order.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from lmtrainer.faults import UserError

SEPARATOR = "<|>"
"""Stands between the words of a text that was cut."""

GROUP = "lmtrainer.segmenters"

Words = Callable[[str], Iterable[str]]


def find(name: str) -> Callable[[str], str]:
    """The segmenter of that name: text -> the same text with SEPARATOR between its words.
    UserError if there is none, or if what it needs is not installed."""
    if name == "presplit":
        return str
    words = _words(name)

    def cut(text: str) -> str:
        return SEPARATOR.join(word for word in words(text) if word)

    return cut


def _words(name: str) -> Words:
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    own = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in own:
        known = ", ".join(sorted({*_BUILT_IN, "presplit", *own}))
        raise UserError(
            f"tokenizer: there is no segmenter {name}; known: {known}; an own one is installed as "
            f"an entry point of the group {GROUP}"
        )
    try:
        found = own[name].load()
    except (ImportError, AttributeError) as fault:
        raise UserError(f"tokenizer: the segmenter {name} cannot be loaded: {fault}") from None
    if not callable(found):
        raise UserError(f"tokenizer: the segmenter {name} is no function, but {type(found)}")
    words: Words = found
    return words


def _newmm() -> Words:
    """Longest matching over a dictionary of Thai words, within the limits of character clusters."""
    return functools.partial(_pythainlp("newmm").word_tokenize, engine="newmm")


def _syllable() -> Words:
    """The same over a dictionary of Thai syllables."""
    return functools.partial(_pythainlp("syllable").subword_tokenize, engine="dict")


def _pythainlp(name: str) -> Any:
    # Its dictionaries come with it. Otherwise it makes a folder in the home of whoever runs it,
    # and a pod may have none.
    for setting in ("PYTHAINLP_READ_ONLY", "PYTHAINLP_OFFLINE"):
        os.environ.setdefault(setting, "1")
    try:
        return importlib.import_module("pythainlp.tokenize")
    except ImportError:
        raise UserError(
            f"tokenizer: the segmenter {name} needs pythainlp, which is not installed; "
            "install lmtrainer[thai], or cut the text beforehand and use presplit"
        ) from None


_BUILT_IN: Mapping[str, Callable[[], Words]] = MappingProxyType(
    {"newmm": _newmm, "syllable": _syllable}
)
