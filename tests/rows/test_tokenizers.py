"""Rows 1 and 3: tokenizers as the earlier kits train them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lmtrainer import vocab
from lmtrainer.config.tokenizer import SpecialTokens, TokenizerTraining, TokenizerType
from lmtrainer.text.sources import expand
from lmtrainer.vocab.training import SPECIALS, train


def sample(_activity: str = "") -> Iterator[str]:
    (path,) = expand(["sample://jargon"], {})
    return iter(path.read_text("utf-8").split("\n\n")[:300])


def saved(
    folder: Path, kind: TokenizerType, specials: SpecialTokens, size: int = 700, **more: Any
) -> Any:
    """A tokenizer as AutoTokenizer loads it."""
    settings = TokenizerTraining(type=kind, vocab_size=size, special_tokens=specials, **more)
    vocab.save(train(settings, sample), settings, folder, max_length=128, fingerprint="f")
    return AutoTokenizer.from_pretrained(folder)


def test_row_001_wordpiece_leaves_a_vocabulary_file(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path / "t", "wordpiece", "bert")
    lines = (tmp_path / "t" / "vocab.txt").read_text("utf-8").splitlines()
    assert len(lines) == len(tokenizer) == 700
    assert lines[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer("the hacker")["input_ids"][0] == 2


def test_row_003_words_below_the_least_frequency_are_unknown(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path / "t", "wordlevel", "roberta", 100_000, min_frequency=5)
    counts = Counter(word for text in sample() for word in text.split())
    special = set(SPECIALS["roberta"].values())
    kept = set(tokenizer.get_vocab()) - special
    assert kept == {word for word, count in counts.items() if count >= 5}
    rare = next(word for word, count in counts.items() if count == 1)
    assert tokenizer(f"the {rare}")["input_ids"][1:-1] == [
        tokenizer.convert_tokens_to_ids("the"),
        tokenizer.unk_token_id,
    ]


@pytest.mark.parametrize("kind", ["bytebpe", "wordlevel", "wordpiece"])
@pytest.mark.parametrize("specials", ["bert", "roberta", "gpt2"])
def test_every_tokenizer_goes_with_every_family(
    kind: TokenizerType, specials: SpecialTokens, tmp_path: Path
) -> None:
    saved(tmp_path / "t", kind, specials)
    found = vocab.load(tmp_path / "t")
    found.require("clm" if specials == "gpt2" else "mlm")
    assert len(found.continues) == found.size
