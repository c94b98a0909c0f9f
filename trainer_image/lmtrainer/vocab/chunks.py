"""WordPiece at the speed of a dictionary: ids of whole white-space chunks are looked up, not made.

Called by `vocab.vocabulary`. BERT's tokenizer cleans a text character by character and never joins
what white space separates, so the ids of a text are those of its chunks, one after the other. Text
is mostly chunks that were seen before. Where a text could be an exception, the tokenizer itself
reads it as a whole; the ids are always the tokenizer's own.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lmtrainer.vocab.parts import Parts, parts_of

MAX_CHUNKS = 400_000
"""Chunks that are remembered, about 100 MB; beyond it, memory starts afresh."""

MAX_LENGTH = 48
"""Longest chunk that is remembered, in characters: longer ones hardly come again."""

LAST_SPACE = 0x3000
"""The highest code point at which `str.split` splits."""

Encode = Callable[[Sequence[str]], list[NDArray[np.uint32]]]
"""Ids of each text."""


def encode_whole(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
    """The tokenizer's own ids of each text, without added special tokens."""
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]


class Memory(dict[str, bytes]):
    """Text -> its ids, uint32 as bytes. What is not known is made, and kept if it is short."""

    def __init__(self, make: Callable[[str], bytes]) -> None:
        self._make = make

    def __missing__(self, text: str) -> bytes:
        ids = self._make(text)
        if len(text) <= MAX_LENGTH:
            if len(self) >= MAX_CHUNKS:
                self.clear()
            self[text] = ids
        return ids


def memory(tokenizer: Tokenizer, words_of: Callable[[str], list[str] | None]) -> Memory:
    """Of chunks, over one of words: most new chunks are known words with other signs around.
    `words_of` cuts a chunk as the tokenizer does; None where only the tokenizer itself knows."""

    def ask(text: str) -> bytes:
        return array("I", tokenizer.encode(text, add_special_tokens=False).ids).tobytes()

    known = Memory(ask)

    def put_together(chunk: str) -> bytes:
        words = words_of(chunk)
        return ask(chunk) if words is None else b"".join(map(known.__getitem__, words))

    return Memory(put_together)


_WORDS = re.compile(r"[0-9A-Za-z]+|[!-/:-@\[-`{-~]").findall
"""Printable ASCII as BERT cuts it: each sign that is no letter or digit is a word of its own."""


def _words_of(chunk: str) -> list[str] | None:
    return _WORDS(chunk) if chunk.isascii() and chunk.isprintable() else None


class ChunkEncoder:
    """Encodes texts through a memory of chunks. Made by `chunk_encoder` only."""

    def __init__(self, tokenizer: Tokenizer, literals: Sequence[str], removed: str) -> None:
        self._tokenizer = tokenizer
        self._literals = tuple(literals)
        self._removed = removed
        self._remove = str.maketrans("", "", removed)
        self._memory = memory(tokenizer, _words_of)

    def __call__(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Ids of each text, equal to those of `encode_whole`."""
        everything = "\n".join(texts)
        if any(mark in everything for mark in (*self._removed, *self._literals)):
            return [self._encode_with_care(text) for text in texts]
        return [self._look_up(text) for text in texts]

    def _encode_with_care(self, text: str) -> NDArray[np.uint32]:
        cleaned = text.translate(self._remove)
        if any(literal in cleaned for literal in self._literals):
            return encode_whole(self._tokenizer, [text])[0]
        return self._look_up(cleaned)

    def _look_up(self, text: str) -> NDArray[np.uint32]:
        ids = b"".join(map(self._memory.__getitem__, text.split()))
        return np.frombuffer(ids, dtype=np.uint32)


def chunk_encoder(tokenizer: Tokenizer) -> ChunkEncoder | None:
    """An encoder for a tokenizer that works as BERT's does; None for any other, however little it
    differs: there, chunks could give other ids than the text."""
    parts = parts_of(tokenizer)
    literals = [token["content"] for token in parts["added_tokens"]]
    removed = removed_spaces(tokenizer) if _is_bert(parts) else None
    if removed is None or any(set(literal) & set(removed) for literal in literals):
        return None
    return ChunkEncoder(tokenizer, literals, removed)


def _is_bert(parts: Parts) -> bool:
    return (
        parts["model"]["type"] == "WordPiece"
        and (parts["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"
        and (parts["normalizer"] or {}).get("type") == "BertNormalizer"
        # A token that is looked for in the cleaned text could be written in many ways.
        and not any(token["normalized"] for token in parts["added_tokens"])
    )


def removed_spaces(tokenizer: Tokenizer) -> str | None:
    """The characters at which Python splits a text but the tokenizer joins it, such as a form feed;
    None if any does something else."""
    removed = ""
    for space in filter(str.isspace, map(chr, range(LAST_SPACE + 1))):
        cleaned = tokenizer.normalizer.normalize_str(f"a{space}b")
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(cleaned)]
        if words == ["ab"]:
            removed += space
        elif words != ["a", "b"]:
            return None
    return removed
