"""Gigatoken, which reads byte-level BPE many times as fast: used where it is installed and agrees.

Called by `vocab.spacechunks`. It comes with the extra `fast`.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lmtrainer.vocab.chunks import encode_whole

PROBES = (
    "It's THEY'LL don't 'sX ''d 12a 3.14_x\u0661\u0662 \u00b2\u2167 --!!",
    " a  b   c\n\n d\t\te \r\n  f\u00a0g\u3000 h\u2028i\x1c \x85j\x00 ",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 e\u0301 \ufb01 \u4e2d\u6587\u3002\ud55c \ufeff",
    "\u200b\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0010ffff aaaaaaaaaaaaaaa",
)
"""Texts at which readers of bytes go wrong."""

_PROBED = 4000
"""Tokens of the vocabulary that are read as well."""

FORGET = 1 << 29
"""Characters after which the memory begins afresh: some 300 MB of words that came once."""


class Gigatoken:
    """Encodes texts. What it remembers of them has no bound of its own, so it begins afresh now and
    then. Made by `gigatoken` only."""

    def __init__(self, made: Callable[[], Any]) -> None:
        self._made = made
        self._reader = made()
        self._read = 0

    def __call__(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Ids of each text, equal to those of `encode_whole`: views of one buffer."""
        if self._read > FORGET:
            self._reader, self._read = self._made(), 0
        self._read += sum(map(len, texts))
        found = self._reader.encode_batch(list(texts))
        offsets = np.asarray(found.layout.offsets)
        ids = np.asarray(found.layout.content.data)
        return [ids[start:end] for start, end in itertools.pairwise(offsets)]


def gigatoken(tokenizer: Tokenizer) -> Gigatoken | None:
    """The encoder, if it is installed and gives the tokenizer's ids of PROBES and of the
    tokenizer's own tokens."""
    try:
        library = importlib.import_module("gigatoken")
        encode = Gigatoken(lambda: library.Tokenizer.from_json(tokenizer.to_str()))
        probes = [*PROBES, _vocabulary_text(tokenizer)]
        same = map(np.array_equal, encode(probes), encode_whole(tokenizer, probes))
        return encode if all(same) else None
    except Exception:  # not installed, or of no use for this tokenizer: it is an extra
        return None


def _vocabulary_text(tokenizer: Tokenizer) -> str:
    size = tokenizer.get_vocab_size()
    step = max(1, size // _PROBED)
    return "".join(tokenizer.decode([id_]) for id_ in range(0, size, step))
