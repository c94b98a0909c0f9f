"""Trained tokenizers: the same every time, with the special tokens where models expect them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import BertWordPieceTokenizer

from lmtrainer.config.tokenizer import TokenizerTraining
from lmtrainer.text.sources import expand
from lmtrainer.vocab.specials import BERT_SPECIALS
from lmtrainer.vocab.training import train
from lmtrainer.vocab.wordpiece import MAX_ALPHABET

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def sample(_activity="", documents=400):
    (path,) = expand(["sample://jargon"], {})
    return iter(path.read_text("utf-8").split("\n\n")[:documents])


def settings(kind, size=800, **more):
    specials = {"wordpiece": "bert", "bytebpe": "gpt2"}.get(kind, "roberta")
    return TokenizerTraining(type=kind, vocab_size=size, **{"special_tokens": specials, **more})


def test_wordpiece_has_its_size_and_the_specials_first():
    tokenizer = train(settings("wordpiece"), sample)
    assert tokenizer.get_vocab_size() == 800
    assert [tokenizer.id_to_token(number) for number in range(5)] == SPECIALS
    assert list(BERT_SPECIALS.values()) == SPECIALS
    assert tokenizer.encode("hacker").tokens == ["[CLS]", "hacker", "[SEP]"]
    assert tokenizer.encode("Crème BRÛLÉE").ids == tokenizer.encode("creme brulee").ids


def test_lower_casing_can_be_turned_off():
    tokenizer = train(settings("wordpiece", lowercase=False), sample)
    assert tokenizer.encode("Unix").ids != tokenizer.encode("unix").ids


def test_byte_bpe_has_its_size_one_special_and_reads_every_byte():
    tokenizer = train(settings("bytebpe"), sample)
    assert tokenizer.get_vocab_size() == 800
    assert tokenizer.get_added_tokens_decoder().keys() == {tokenizer.token_to_id("<|endoftext|>")}
    text = "any text: \x00\n\t 中文 \U0001f600 é"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_wordpiece_is_as_good_as_the_library_s_own():
    ours = train(settings("wordpiece", 2000), sample)
    theirs = BertWordPieceTokenizer()
    theirs.train_from_iterator(sample(), vocab_size=2000, show_progress=False)
    count = {
        name: sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in sample())
        for name, tokenizer in (("ours", ours), ("theirs", theirs))
    }
    assert abs(count["ours"] / count["theirs"] - 1) < 0.005


@pytest.mark.parametrize("kind", ["wordpiece", "bytebpe", "unigram", "wordlevel"])
def test_every_process_trains_the_same_tokenizer(kind):
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1])\n"
        "from test_vocab_training import settings, sample, train\n"
        f"tokenizer = train(settings({kind!r}), sample)\n"
        "print(hashlib.sha256(tokenizer.to_str().encode()).hexdigest())"
    )
    here = str(Path(__file__).parent)
    found = {
        subprocess.run(
            [sys.executable, "-c", code, here],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in (1, 2)
    }
    found.add(hashlib.sha256(train(settings(kind), sample).to_str().encode()).hexdigest())
    assert len(found) == 1


def test_rare_characters_beyond_the_limit_are_unknown_the_frequent_ones_kept():
    characters = [chr(0x4E00 + number) for number in range(MAX_ALPHABET + 200)]
    rare, frequent = characters[:200], characters[200:]
    texts = [" ".join([*rare, *frequent * 2])]
    tokenizer = train(settings("wordpiece", 5000), lambda activity: iter(texts))
    assert "[UNK]" not in tokenizer.encode("".join(frequent)).tokens
    assert set(tokenizer.encode("".join(rare)).tokens) == {"[CLS]", "[UNK]", "[SEP]"}


def test_characters_come_before_all_merges_even_those_found_across_a_form_feed():
    # The tokenizer joins what a form feed separates; Python's split does not.
    texts = ["foo\x0cbar foo\x0cbar"]
    tokenizer = train(settings("wordpiece", 300), lambda activity: iter(texts))
    tokens = [tokenizer.id_to_token(number) for number in range(5, 14)]
    assert tokens == ["a", "b", "f", "o", "r", "##a", "##b", "##o", "##r"]
