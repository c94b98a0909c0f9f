"""Tokenizers that never join white space to what stands before it, at the speed of a dictionary.

Called by `vocab.vocabulary`. The ids of a text are those of its chunks, white space with the word
behind it, one after the other; most chunks were seen before. That holds for byte-level BPE, which
GPT-2's pattern cuts so before anything else, for unigrams, which begin at each space, and wherever
spaces have a token of their own. Texts that hold an added token are read by the tokenizer itself as
a whole; the ids are always the tokenizer's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lmtrainer.vocab.chunks import Encode, encode_whole, memory
from lmtrainer.vocab.fast import gigatoken
from lmtrainer.vocab.parts import Parts, parts_of
from lmtrainer.vocab.spaces import OTHER_SPACES, SPACES
from lmtrainer.vocab.specials import NEWLINE, SPACE

_CHUNKS = re.compile(f"[{SPACES}]*[^{SPACES}]+|[{SPACES}]+").findall

_BYTE_WORDS = re.compile(
    r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
).findall
"""GPT-2's pattern, for ASCII that is printed, and line breaks."""

_PLAIN = re.compile(r"[\n -~]*").fullmatch

MUCH = 1 << 22
"""Characters for which it pays to look for gigatoken: to begin takes it a second."""


class SpaceEncoder:
    """Encodes texts, equal to `encode_whole`. Made by `space_encoder` only. `bytewise`: the
    tokenizer is GPT-2's or RoBERTa's."""

    def __init__(self, tokenizer: Tokenizer, literals: Sequence[str], *, bytewise: bool) -> None:
        self._tokenizer = tokenizer
        self._literals = tuple(literals)
        self._memory = memory(tokenizer, _words_of if bytewise else _never)
        self._left: float = MUCH if bytewise else math.inf
        self._encode_all: Encode = self.by_chunks

    def __call__(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        self._left -= sum(map(len, texts))
        if self._left < 0:
            self._encode_all = gigatoken(self._tokenizer) or self.by_chunks
            self._left = math.inf
        return self._encode_all(texts)

    def by_chunks(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Through the memory of chunks."""
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> NDArray[np.uint32]:
        if any(literal in text for literal in self._literals):
            return encode_whole(self._tokenizer, [text])[0]
        ids = b"".join(map(self._memory.__getitem__, _CHUNKS(text)))
        return np.frombuffer(ids, dtype=np.uint32)


def _words_of(chunk: str) -> list[str] | None:
    return _BYTE_WORDS(chunk) if _PLAIN(chunk) else None


def _never(chunk: str) -> None:
    """Its words are known to the tokenizer alone."""


def space_encoder(tokenizer: Tokenizer) -> SpaceEncoder | None:
    """An encoder for a tokenizer that cuts before white space, as far as that is known of its
    parts; None for any other, however little it differs."""
    parts = parts_of(tokenizer)
    bytewise = _is_bytewise(parts) and parts["normalizer"] is None
    if not (bytewise or _is_bytewise_with_spaces(parts) or _is_unigram(parts) or _is_bert(parts)):
        return None
    # A line break that is a token is white space as well: it is cut off in any case.
    literals = [t["content"] for t in parts["added_tokens"] if t["content"] != NEWLINE]
    return SpaceEncoder(tokenizer, literals, bytewise=bytewise)


def _is_bytewise(parts: Parts) -> bool:
    model, cut = parts["model"], parts["pre_tokenizer"] or {}
    return (
        model["type"] == "BPE"
        and not any(model.get(name) for name in ("dropout", "continuing_subword_prefix"))
        and not model.get("end_of_word_suffix")
        and cut.get("type") == "ByteLevel"
        and not cut.get("add_prefix_space")
        and bool(cut.get("use_regex", True))
    )


def _is_bytewise_with_spaces(parts: Parts) -> bool:
    steps = _steps(parts)
    return (
        _is_bytewise(parts) and steps == [_replaced({"String": " "}, SPACE)] and _has_space(parts)
    )


def _is_unigram(parts: Parts) -> bool:
    """As `vocab.unigram` makes it: with a token for spaces, or cut before every space."""
    steps = [step for step in _steps(parts) if step != {"type": "NFKC"}]
    others = [OTHER_SPACES, OTHER_SPACES.replace(NEWLINE, "")]
    cut = parts["pre_tokenizer"]
    if parts["model"]["type"] != "Unigram":
        return False
    if cut is None:
        marked = [[_replaced({"Regex": f"[ {spaces}]"}, SPACE)] for spaces in others]
        return steps in marked and _has_space(parts)
    before_spaces = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "never"}
    same = [[_replaced({"Regex": f"[{spaces}]"}, " ")] for spaces in others]
    return steps in same and cut == {**before_spaces, "split": True}


def _is_bert(parts: Parts) -> bool:
    """With a token for spaces; without one, it joins what some of them separate."""
    steps = _steps(parts)
    return (
        parts["model"]["type"] == "WordPiece"
        and steps[:1] == [_replaced({"Regex": r"\s"}, SPACE)]
        and [step["type"] for step in steps[1:]] == ["BertNormalizer"]
        and (parts["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"
        and _has_space(parts)
    )


def _steps(parts: Parts) -> list[Parts]:
    """The steps of the normalizer."""
    whole = parts["normalizer"] or {"type": "Sequence", "normalizers": []}
    steps: list[Parts] = whole["normalizers"] if whole["type"] == "Sequence" else [whole]
    return steps


def _replaced(pattern: dict[str, str], content: str) -> Parts:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _has_space(parts: Parts) -> bool:
    """Is the token for spaces cut out of the text, and no white space beside it?"""
    plain = {name: False for name in ("single_word", "lstrip", "rstrip", "special")}
    wanted = {**plain, "content": SPACE, "normalized": True}
    return any(wanted.items() <= token.items() for token in parts["added_tokens"])
