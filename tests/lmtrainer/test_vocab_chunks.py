"""The chunk cache gives the ids of the tokenizers library, on any text, or steps aside."""

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from lmtrainer.config.tokenizer import TokenizerTraining
from lmtrainer.text.sources import expand
from lmtrainer.vocab import chunks
from lmtrainer.vocab.chunks import LAST_SPACE, chunk_encoder, encode_whole
from lmtrainer.vocab.training import train


def documents():
    (path,) = expand(["sample://jargon"], {})
    return path.read_text("utf-8").split("\n\n")


def trained(*, lowercase=True):
    settings = TokenizerTraining(
        type="wordpiece", vocab_size=1500, special_tokens="bert", lowercase=lowercase
    )
    extra = "a b c \u00e9 \u0301 中 文 ß \ufb01 \u017f İ ! # [ ] M A S K"
    return train(settings, lambda activity: iter([*documents()[:200], extra * 3]))


TOKENIZERS = {"lower": trained(), "cased": trained(lowercase=False)}
ENCODERS = {name: chunk_encoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}

SPACES = [chr(code) for code in range(LAST_SPACE + 1) if chr(code).isspace()]
NASTY = st.one_of(
    st.sampled_from(
        [
            *SPACES,
            *(
                "[MASK]",
                "[SEP]foo",
                "x[CLS]",
                "[PAD]",
                "[UNK]",
                "[MA\u200bSK]",
                "[MA\x0cSK]",
                "##a",
            ),
            *("\x00", "\x07", "\u00ad", "\u200b", "\ufeff", "\ufffd", "\u2060", "\u180e", "\ue000"),
            *("中", "文字", "\U00020000", "\u0301", "e\u0301", "\u00e9", "\u1e9b\u0323", "\u0345"),
            *(
                "İ",
                "ß",
                "ẞ",
                "ﬁ",
                "ΑΣ",
                "\u0130",
                "!",
                "don't",
                "...",
                "$5",
                "a" * 120,
                "\U0001f600",
            ),
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.text("ab [MASK]\t\n\u0301", max_size=8),
)
TEXTS = st.lists(NASTY, max_size=12).map("".join)


def assert_identical(name, texts):
    ours = ENCODERS[name](texts)
    theirs = encode_whole(TOKENIZERS[name], texts)
    for text, mine, other in zip(texts, ours, theirs, strict=True):
        assert mine.tolist() == other.tolist(), text
        assert mine.dtype == np.uint32


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=400)
@given(texts=st.lists(TEXTS, max_size=4))
@example(texts=["foo\x0cbar", "a\x85b\x1cc\x1dd", "[MA\x0cSK] and [MASK]"])
@example(texts=["", " ", "\x0c", "\u200b", "[SEP]"])
def test_ids_are_those_of_the_library_on_any_text(name, texts):
    assert_identical(name, texts)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_ids_are_those_of_the_library_on_real_text(name):
    assert_identical(name, documents())


@pytest.mark.parametrize("name", TOKENIZERS)
def test_ids_are_those_of_the_library_around_every_single_character(name):
    codes = [*range(0x3100), *range(0x3100, 0x30000, 13)]
    characters = [chr(code) for code in codes if not 0xD800 <= code < 0xE000]
    assert_identical(name, [" ".join(f"foo{c}bar {c}a" for c in characters)])


def test_python_splits_at_no_character_that_is_not_looked_at():
    beyond = range(LAST_SPACE + 1, sys.maxunicode + 1)
    assert not [code for code in beyond if chr(code).isspace()]


def change(**parts):
    tokenizer = Tokenizer.from_str(TOKENIZERS["lower"].to_str())
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def with_token(token):
    tokenizer = change()
    tokenizer.add_tokens([token])
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        change(normalizer=None),
        change(normalizer=normalizers.BertNormalizer(clean_text=False)),
        change(normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.BertNormalizer()])),
        change(pre_tokenizer=pre_tokenizers.Whitespace()),
        change(pre_tokenizer=None),
        with_token(AddedToken("new york", normalized=True)),
        with_token(AddedToken("new\x0cpage", normalized=False)),
        train(
            TokenizerTraining(type="bytebpe", vocab_size=400, special_tokens="gpt2"),
            lambda activity: iter(["a b"]),
        ),
    ],
    ids=["none", "unclean", "two-steps", "whitespace", "no-words", "added", "form-feed", "bytes"],
)
def test_only_a_tokenizer_that_works_as_bert_s_is_cached(tokenizer):
    assert chunk_encoder(tokenizer) is None


@settings(max_examples=100)
@given(texts=st.lists(st.text("ab\n NewYork", max_size=20), max_size=3))
def test_a_token_of_the_user_s_own_may_hold_spaces(texts):
    tokenizer = with_token(AddedToken("New York", normalized=False, lstrip=True, rstrip=True))
    encoder = chunk_encoder(tokenizer)
    texts = [*texts, "in New York  now"]
    ours = [ids.tolist() for ids in encoder(texts)]
    assert ours == [ids.tolist() for ids in encode_whole(tokenizer, texts)]


def test_memory_is_bounded_and_long_chunks_are_not_kept(monkeypatch):
    monkeypatch.setattr(chunks, "MAX_CHUNKS", 50)
    encoder = chunk_encoder(TOKENIZERS["lower"])
    texts = documents()[:50]
    theirs = encode_whole(TOKENIZERS["lower"], texts)
    sizes = []
    for text, ids in zip(texts, theirs, strict=True):
        assert encoder([text])[0].tolist() == ids.tolist()
        sizes.append(len(encoder._memory))
    assert max(sizes) <= 50
    encoder(["x" * 100_000])
    assert "x" * 100_000 not in encoder._memory
