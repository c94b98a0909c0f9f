"""Byte-level BPE at the speed of a dictionary, or of gigatoken where that is installed.

Called by `vocab.vocabulary`. GPT-2's pattern, by which such a tokenizer cuts a text before anything
else, never joins white space to what stands before it. So the ids of a text are those of its
chunks, white space with the word behind it, one after the other; most chunks were seen before.
Texts that hold an added token are read by the tokenizer itself as a whole; the ids are always the
tokenizer's own. Gigatoken (the extra `fast`) reads everything, if it gives the very same ids of
texts that are hard to read.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lmtrainer.vocab.chunks import Memory, encode_whole

SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""White space as the pattern knows it (Unicode's White_Space)."""

_CHUNKS = re.compile(f"[{SPACES}]*[^{SPACES}]+|[{SPACES}]+").findall

_WORDS = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
).findall
"""The pattern itself, for ASCII that is printed, and line breaks."""

_PLAIN = re.compile(r"[\n -~]*").fullmatch

PROBES = (
    "It's THEY'LL don't 'sX ''d 12a 3.14_x\u0661\u0662 \u00b2\u2167 --!!",
    " a  b   c\n\n d\t\te \r\n  f\u00a0g h\u2028i\x1c j\x00 ",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 e\u0301 \ufb01 \u4e2d\u6587\u3002\ud55c \ufeff",
    "\u200b\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0010ffff aaaaaaaaaaaaaaa",
)
"""Texts at which readers of bytes go wrong."""

_PROBED = 4000
"""Tokens of the vocabulary that are read as well."""

FORGET = 1 << 29
"""Characters after which gigatoken begins afresh: some 300 MB of words that came once."""

Encode = Callable[[Sequence[str]], list[NDArray[np.uint32]]]


class ByteEncoder:
    """Encodes texts, equal to `encode_whole`. Made by `byte_encoder` only."""

    def __init__(self, tokenizer: Tokenizer, literals: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._literals = tuple(literals)
        self._memory = _memory(tokenizer)
        self._chosen: Encode | None = None

    def __call__(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        if self._chosen is None:
            # Not before: who only asks for ids of special tokens needs no encoder.
            self._chosen = _gigatoken(self._tokenizer) or self.by_chunks
        return self._chosen(texts)

    def by_chunks(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Through the memory of chunks."""
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> NDArray[np.uint32]:
        if any(literal in text for literal in self._literals):
            return encode_whole(self._tokenizer, [text])[0]
        ids = b"".join(map(self._memory.__getitem__, _CHUNKS(text)))
        return np.frombuffer(ids, dtype=np.uint32)


def _memory(tokenizer: Tokenizer) -> Memory:
    """Of chunks, over one of words: most new chunks are known words with other signs around."""

    def ask(text: str) -> bytes:
        return array("I", tokenizer.encode(text, add_special_tokens=False).ids).tobytes()

    words = Memory(ask)

    def put_together(chunk: str) -> bytes:
        if _PLAIN(chunk):
            return b"".join(map(words.__getitem__, _WORDS(chunk)))
        return ask(chunk)

    return Memory(put_together)


def byte_encoder(tokenizer: Tokenizer) -> ByteEncoder | None:
    """An encoder for a tokenizer that works as GPT-2's or RoBERTa's; None for any other, however
    little it differs."""
    parts = json.loads(tokenizer.to_str())
    cut = parts["pre_tokenizer"] or {}
    model = parts["model"]
    fits = (
        model["type"] == "BPE"
        and not any(model.get(name) for name in ("dropout", "continuing_subword_prefix"))
        and not model.get("end_of_word_suffix")
        and parts["normalizer"] is None
        and cut.get("type") == "ByteLevel"
        and not cut.get("add_prefix_space")
        and cut.get("use_regex", True)
    )
    if not fits:
        return None
    return ByteEncoder(tokenizer, [token["content"] for token in parts["added_tokens"]])


class _Gigatoken:
    """The encoder of gigatoken. What it remembers of the text has no bound of its own, so it begins
    afresh now and then."""

    def __init__(self, made: Callable[[], Any]) -> None:
        self._made = made
        self._reader = made()
        self._read = 0

    def __call__(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        if self._read > FORGET:
            self._reader, self._read = self._made(), 0
        self._read += sum(map(len, texts))
        found = self._reader.encode_batch(list(texts))
        offsets = np.asarray(found.layout.offsets)
        ids = np.asarray(found.layout.content.data)
        return [ids[start:end] for start, end in itertools.pairwise(offsets)]


def _gigatoken(tokenizer: Tokenizer) -> Encode | None:
    """The encoder of gigatoken, if it is installed and gives the tokenizer's ids of PROBES and of
    the tokenizer's own tokens."""
    try:
        library = importlib.import_module("gigatoken")
        encode = _Gigatoken(lambda: library.Tokenizer.from_json(tokenizer.to_str()))
    except Exception:  # not installed, or of no use for this tokenizer: it is an extra
        return None
    probes = [*PROBES, _vocabulary_text(tokenizer)]
    same = map(np.array_equal, encode(probes), encode_whole(tokenizer, probes))
    return encode if all(same) else None


def _vocabulary_text(tokenizer: Tokenizer) -> str:
    size = tokenizer.get_vocab_size()
    step = max(1, size // _PROBED)
    return "".join(tokenizer.decode([id_]) for id_ in range(0, size, step))
