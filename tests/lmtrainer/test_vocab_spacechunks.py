"""Tokens by a memory of chunks, or by gigatoken: the ids are the library's own, on any text."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from lmtrainer.config.tokenizer import TokenizerTraining, TokenizerType
from lmtrainer.text.sources import expand
from lmtrainer.vocab import fast, spacechunks
from lmtrainer.vocab.chunks import encode_whole
from lmtrainer.vocab.spacechunks import SpaceEncoder, space_encoder
from lmtrainer.vocab.spaces import SPACES
from lmtrainer.vocab.training import train


def documents() -> list[str]:
    (path,) = expand(["sample://jargon"], {})
    assert isinstance(path, Path)
    return path.read_text("utf-8").split("\n\n")


def trained() -> Tokenizer:
    wanted = TokenizerTraining(type="bytebpe", vocab_size=900, special_tokens="roberta")
    return train(wanted, lambda activity: iter(documents()[:200]))


TOKENIZER = trained()
PARTS = [
    *SPACES,
    "  ",
    "\x1c",
    "\u200b",
    "\u180e",
    "a",
    "word",
    "'s",
    "'LL",
    "it's",
    "12",
    "²",
    "٣",
]
PARTS += [
    "!",
    "--",
    "_",
    "é",
    "e\u0301",
    "中",
    "ภา",
    "\U0001f600",
    "<mask>",
    "<s",
    "\x00",
    "ﬁ",
    "\u00a8",
    "\ufdfa",
    "\u2581",
]
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=25).map("".join)


def encoder() -> SpaceEncoder:
    found = space_encoder(TOKENIZER)
    assert found is not None
    return found


def same(texts: list[str], encode: Any) -> None:
    for text, ours, theirs in zip(
        texts, encode(texts), encode_whole(TOKENIZER, texts), strict=True
    ):
        assert ours.dtype == np.uint32
        assert ours.tolist() == theirs.tolist(), repr(text)


BY_CHUNKS = encoder().by_chunks


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, max_size=3))
@example(["a \n b", "a\u3000  x", "", " ", "x  ", "<mask> a <mask>"])
def test_chunks_give_the_ids_of_the_library(texts: list[str]) -> None:
    same(texts, BY_CHUNKS)


def test_the_tokenizer_cuts_wherever_a_chunk_or_a_word_begins() -> None:
    """Ids could be alike by chance: few merges join white space."""
    for c in map(chr, range(0x3100)):
        text = f"a{c}{c} b{c} {c}\n{c}1{c}  x  9!{c}"
        cuts = {start for _, (start, _) in TOKENIZER.pre_tokenizer.pre_tokenize_str(text)}
        starts = [0]
        for chunk in spacechunks._CHUNKS(text):
            starts.append(starts[-1] + len(chunk))
        assert set(starts[:-1]) <= cuts and starts[-1] == len(text), repr(text)
        if spacechunks._PLAIN(text):
            words = [0]
            for word in spacechunks._BYTE_WORDS(text):
                words.append(words[-1] + len(word))
            assert set(words[:-1]) == cuts, repr(text)


@pytest.mark.parametrize("newlines", [True, False])
@pytest.mark.parametrize(
    ("kind", "spaces"),
    [("unigram", True), ("unigram", False), ("wordpiece", True), ("bytebpe", True)],
)
def test_every_tokenizer_that_cuts_before_spaces_is_read_by_chunks(
    kind: TokenizerType, spaces: bool, newlines: bool
) -> None:
    draw = random.Random(0)
    texts = ["".join(draw.choices(PARTS, k=draw.randint(0, 25))) for _ in range(1500)]
    wanted = TokenizerTraining(
        type=kind,
        vocab_size=1500,
        special_tokens="roberta",
        min_frequency=None if kind == "unigram" else 1,
        space_token=spaces,
        newline_token=newlines,
    )
    tokenizer = train(wanted, lambda activity: iter([*texts, *documents()[:100]]))
    found = space_encoder(tokenizer)
    assert found is not None
    texts += [*documents()[:200], "<_> a <_>b", "a <s> b"]
    theirs = encode_whole(tokenizer, texts)
    for text, one, other in zip(texts, found.by_chunks(texts), theirs, strict=True):
        assert one.tolist() == other.tolist(), repr(text)
    assert len(found._memory) > 1000


def test_real_text_is_read_alike_and_mostly_remembered() -> None:
    found = encoder()
    same(documents(), found.by_chunks)
    assert 1000 < len(found._memory) < 100_000


def test_gigatoken_gives_the_ids_of_the_library() -> None:
    pytest.importorskip("gigatoken")
    encode = fast.gigatoken(TOKENIZER)
    assert encode is not None
    every = [chr(code) for code in range(0x3100)]
    same([f"a{c}{c} b{c} {c}\n{c}1" for c in every], encode)
    same(documents(), encode)
    same(["".join(PARTS[at:] + PARTS[:at]) for at in range(len(PARTS))], encode)
    same(["".join(PARTS[::-1]), "", " "], encode)


def test_gigatoken_begins_afresh_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gigatoken")
    encode = fast.gigatoken(TOKENIZER)
    assert isinstance(encode, fast.Gigatoken)
    monkeypatch.setattr(fast, "FORGET", 10)
    before = encode._reader
    same(["some words of text"], encode)
    same(["some words of text"], encode)
    assert encode._reader is not before


def test_much_text_is_read_by_gigatoken_from_some_text_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gigatoken")
    monkeypatch.setattr(spacechunks, "MUCH", 1000)
    found = encoder()
    for document in documents()[:40]:
        same([document], found)
    assert isinstance(found._encode_all, fast.Gigatoken)
    assert 0 < len(found._memory) < 500


@pytest.mark.parametrize("way", ["missing", "wrong", "refuses", "fails"])
def test_without_a_gigatoken_that_agrees_chunks_are_remembered(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reader(document: str) -> Any:
        if way == "refuses":
            raise ValueError("no such tokenizer")

        def encode_batch(texts: list[str]) -> Any:
            if way == "fails":
                raise RuntimeError("no such text")
            rows = [[7] * len(text) for text in texts]
            offsets = np.cumsum([0, *map(len, rows)])
            ids = SimpleNamespace(data=np.concatenate([np.array(row, np.uint32) for row in rows]))
            return SimpleNamespace(layout=SimpleNamespace(offsets=offsets, content=ids))

        return SimpleNamespace(encode_batch=encode_batch)

    library = SimpleNamespace(Tokenizer=SimpleNamespace(from_json=reader))
    monkeypatch.setattr(spacechunks, "MUCH", 10)
    monkeypatch.setitem(sys.modules, "gigatoken", None if way == "missing" else library)  # type: ignore[arg-type]
    found = encoder()
    same(documents()[:20], found)
    assert len(found._memory) > 100


def test_any_other_tokenizer_is_read_by_the_library_alone() -> None:
    def changed(change: Any) -> Tokenizer:
        other = Tokenizer.from_str(TOKENIZER.to_str())
        change(other)
        return other

    def lower(other: Tokenizer) -> None:
        other.normalizer = normalizers.Lowercase()

    def prefixed(other: Tokenizer) -> None:
        other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)

    def whole(other: Tokenizer) -> None:
        other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def sequence(other: Tokenizer) -> None:
        other.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(), other.pre_tokenizer]
        )

    def dropped(other: Tokenizer) -> None:
        other.model.dropout = 0.1

    for change in (lower, prefixed, whole, sequence, dropped):
        assert space_encoder(changed(change)) is None, change
    more = changed(lambda other: other.add_tokens([AddedToken("of the", lstrip=True)]))
    found = space_encoder(more)
    assert found is not None
    text = "one  of the many of them"
    assert found.by_chunks([text])[0].tolist() == more.encode(text, add_special_tokens=False).ids
