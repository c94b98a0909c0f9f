"""Rows 1 to 6: tokenizers as the earlier kits train them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import normalizers
from transformers import AutoTokenizer

from lmtrainer import vocab
from lmtrainer.config.mistakes import MistakesError
from lmtrainer.config.reading import parse
from lmtrainer.config.tokenizer import SpecialTokens, TokenizerTraining, TokenizerType
from lmtrainer.text import segmenters
from lmtrainer.text.sources import expand
from lmtrainer.vocab.specials import SPECIALS, first_tokens
from lmtrainer.vocab.unigram import MODEL_FILE

THAI = "ภาษาไทยมีคำว่า น้ำ และ ทำงาน เป็นต้น ฉันรักภาษาไทย"
ODD = [
    "",
    " ",
    "a  b\t c\n\n d ",
    "\u3000a\xa0b\u2028c\x85d\v",
    "------ aaaaaaaaaaaaaaaa !!!!!!!!!",
    "\u2581a\u2581 <_> \x00",
    "ﬁne ① ｱｲ e\u0323\u0302 \u0e19\u0e49\u0e33 \u0e38\u0e48",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 中文",
    THAI,
]
"""Texts at which conversions go wrong."""


def sample(_activity: str = "") -> Iterator[str]:
    (path,) = expand(["sample://jargon"], {})
    return iter([*path.read_text("utf-8").split("\n\n")[:300], *[THAI] * 5])


def settings(
    kind: TokenizerType, specials: SpecialTokens, size: int | None = 700, **more: Any
) -> TokenizerTraining:
    return TokenizerTraining(type=kind, vocab_size=size, special_tokens=specials, **more)


def saved(
    folder: Path, kind: TokenizerType, specials: SpecialTokens, size: int | None = 700, **more: Any
) -> Any:
    """A tokenizer as AutoTokenizer loads it."""
    wanted = settings(kind, specials, size, **more)
    vocab.make(wanted, sample, folder, max_length=128, fingerprint="f")
    return AutoTokenizer.from_pretrained(folder)


def unigram(**fields: Any) -> Any:
    return parse(TokenizerTraining, {"type": "unigram", "unigram": fields}).unigram


def texts(seed: int = 0, number: int = 300) -> Iterable[str]:
    """Odd ones, mixtures of them, and text of the sample."""
    draw = random.Random(seed)
    parts = [*ODD, *(part for text in ODD for part in text.split(" ")), " ", "the", "\n"]
    mixed = ["".join(draw.choices(parts, k=draw.randint(1, 12))) for _ in range(number)]
    return [*ODD, *mixed, *sample()]


def test_row_001_wordpiece_leaves_a_vocabulary_file(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path / "t", "wordpiece", "bert")
    lines = (tmp_path / "t" / "vocab.txt").read_text("utf-8").splitlines()
    assert len(lines) == len(tokenizer) == 700
    assert lines[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer("the hacker")["input_ids"][0] == 2


@pytest.mark.parametrize(
    ("specials", "fields", "first"),
    [
        (
            "sentencepiece",
            {"unigram": {}},
            ["<pad>", "<unk>", "<s>", "</s>", "<cls>", "<sep>"],
        ),
        (
            "roberta",
            {
                "space_token": True,
                "unigram": {
                    "normalization": "none",
                    "characterCoverage": 0.9998,
                    "maxPieceLength": 10,
                },
            },
            ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<_>"],
        ),
        (
            "roberta",
            {"newline_token": True, "space_token": True, "unigram": {"byteFallback": True}},
            ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<_>", "\n"],
        ),
        ("bert", {"newline_token": True, "unigram": {}}, [*SPECIALS["bert"].values(), "\n"]),
    ],
)
def test_row_002_unigram_gives_the_ids_of_sentencepiece(
    specials: SpecialTokens, fields: dict[str, Any], first: list[str], tmp_path: Path
) -> None:
    fields["unigram"] = unigram(**fields["unigram"])
    tokenizer = saved(tmp_path / "t", "unigram", specials, **fields)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "t" / MODEL_FILE))
    pieces = [theirs.id_to_piece(id_) for id_ in range(theirs.get_piece_size())]
    assert pieces[: len(first)] == first
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))) == pieces
    longest = fields["unigram"].max_piece_length
    assert (
        max(map(len, pieces[len(first) + (256 if fields["unigram"].byte_fallback else 0) :]))
        <= longest
    )
    form = normalizers.NFKC()
    ours = vocab.load(tmp_path / "t")
    for text in texts():
        read = form.normalize_str(text) if fields["unigram"].normalization == "nfkc" else text
        found = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert found == theirs.encode(read), repr(text)
        assert ours.encode([text])[0].tolist() == found


def test_row_003_words_below_the_least_frequency_are_unknown(tmp_path: Path) -> None:
    tokenizer = saved(
        tmp_path / "t",
        "wordlevel",
        "roberta",
        None,
        min_frequency=5,
        space_token=True,
        newline_token=True,
    )
    counts = Counter(word for text in sample() for word in text.split())
    first = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<_>", "\n"]
    assert tokenizer.convert_ids_to_tokens(list(range(7))) == first
    kept = set(tokenizer.get_vocab()) - set(first)
    assert kept == {word for word, count in counts.items() if count >= 5}
    rare = next(word for word, count in counts.items() if count == 1)
    assert tokenizer(f"the {rare}\nof")["input_ids"] == tokenizer.convert_tokens_to_ids(
        ["<s>", "the", "<_>", "<unk>", "\n", "of", "</s>"]
    )


def test_row_004_words_by_number_with_special_tokens_on_top(tmp_path: Path) -> None:
    fields = {"space_token": True, "newline_token": True}
    tokenizer = saved(tmp_path / "t", "wordlevel", "roberta", 100, **fields)
    assert len(tokenizer) == 100 + 7
    counts = Counter(word for text in sample() for word in text.split())
    least = min(counts[word] for word in tokenizer.get_vocab() if word in counts)
    assert sum(count > least for count in counts.values()) < 100
    with pytest.raises(MistakesError, match="vocabSize and minFrequency are both given"):
        parse(TokenizerTraining, {"type": "wordlevel", "vocabSize": 100, "minFrequency": 2})


@pytest.mark.parametrize("segmenter", ["newmm", "syllable", "presplit"])
def test_row_005_words_are_what_the_segmenter_cuts(segmenter: str, tmp_path: Path) -> None:
    cut = segmenters.find(segmenter)
    cut_already = segmenters.find("newmm") if segmenter == "presplit" else str

    def thai(_activity: str = "") -> Iterator[str]:
        return map(cut_already, [THAI, THAI.replace("ฉัน", "เขา")])

    wanted = settings(
        "wordlevel", "roberta", None, min_frequency=2, space_token=True, segmenter=segmenter
    )
    vocab.make(wanted, thai, tmp_path / "t", max_length=128, fingerprint="f")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert {"รัก", "มี", "ไทย" if segmenter == "syllable" else "ภาษาไทย"} <= set(
        tokenizer.get_vocab()
    )
    ids = tokenizer.convert_tokens_to_ids(["รัก", "มี"])
    assert tokenizer("รัก<|>มี", add_special_tokens=False)["input_ids"] == ids
    assert tokenizer("รัก มี")["input_ids"] == tokenizer.convert_tokens_to_ids(
        ["<s>", "รัก", "<_>", "มี", "</s>"]
    )
    (text,) = (text for text in thai() if "ฉัน" in text)
    (ours,) = vocab.load(tmp_path / "t").encode([text])
    assert ours.tolist() == tokenizer(cut(text), add_special_tokens=False)["input_ids"]
    assert ours.tolist().count(tokenizer.unk_token_id) == 1
    assert tokenizer.decode(ours).replace("<unk>", "ฉัน") == text.replace("<|>", "")
    vocab.adopt(tmp_path / "t", tmp_path / "adopted", max_length=64, fingerprint="g")
    (again,) = vocab.load(tmp_path / "adopted").encode([text])
    assert again.tolist() == ours.tolist()


@pytest.mark.parametrize("kind", ["bytebpe", "wordlevel", "wordpiece", "unigram"])
@pytest.mark.parametrize("specials", ["bert", "roberta"])
def test_row_006_a_space_is_a_token_and_comes_back(
    kind: TokenizerType, specials: SpecialTokens, tmp_path: Path
) -> None:
    fields = {"space_token": True, "newline_token": True, "lowercase": False}
    tokenizer = saved(tmp_path / "t", kind, specials, **fields)
    first = first_tokens(settings(kind, specials, **fields))
    assert tokenizer.convert_ids_to_tokens(list(range(len(first)))) == first
    words = ["the", "of", "a"] if kind == "wordlevel" else ["hackers", "the,", "of"]
    for text in (" ".join(words), "  ".join(words), "\n".join(words), f" {words[0]} "):
        ids = tokenizer(text)["input_ids"]
        assert ids.count(tokenizer.convert_tokens_to_ids("<_>")) == text.count(" ")
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        ours = vocab.load(tmp_path / "t").encode([text])[0].tolist()
        assert ours == tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", ["bytebpe", "wordlevel", "wordpiece", "unigram"])
def test_row_006_without_a_token_words_stay_apart_as_well(
    kind: TokenizerType, tmp_path: Path
) -> None:
    tokenizer = saved(tmp_path / "t", kind, "roberta")
    ids = tokenizer("the of", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == "the of"


@pytest.mark.parametrize("kind", ["bytebpe", "wordlevel", "wordpiece", "unigram"])
@pytest.mark.parametrize("specials", ["bert", "roberta", "gpt2", "sentencepiece"])
def test_every_tokenizer_goes_with_every_family(
    kind: TokenizerType, specials: SpecialTokens, tmp_path: Path
) -> None:
    saved(tmp_path / "t", kind, specials)
    found = vocab.load(tmp_path / "t")
    found.require("mlm" if specials in ("bert", "roberta") else "clm")
    assert len(found.continues) == found.size
