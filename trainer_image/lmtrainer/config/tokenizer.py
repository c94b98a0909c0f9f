"""Which tokenizer: trained on the training text, or taken from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.schema import setting
from lmtrainer.config.sources import location_mistakes

TokenizerType = Literal["wordpiece", "bytebpe", "unigram", "wordlevel"]
SpecialTokens = Literal["bert", "gpt2", "roberta", "sentencepiece"]
Normalization = Literal["nfkc", "none"]

MIN_VOCABULARY = 300
"""Fewest tokens of a tokenizer of parts: 256 bytes, and some that are special."""


@dataclass(frozen=True, kw_only=True)
class UnigramTraining:
    """SentencePiece's own settings (Kudo 2018, arXiv 1804.10959; its defaults)."""

    normalization: Normalization = setting(
        "nfkc", "nfkc: characters in Unicode's compatible form; none: as they are"
    )
    character_coverage: float = setting(
        0.9995, "share of the text whose characters are kept", minimum=0.9, maximum=1
    )
    max_piece_length: int = setting(16, "longest piece, in characters", minimum=1, maximum=512)
    sentences: int = setting(
        1_000_000, "most lines to train on, drawn at random", minimum=1, maximum=100_000_000
    )
    byte_fallback: bool = setting(False, "unknown characters become bytes")


@dataclass(frozen=True, kw_only=True)
class TokenizerTraining:
    """How a tokenizer is trained on the training documents (never on the held-out ones)."""

    type: TokenizerType | None = setting(
        None, "algorithm; left out, wordpiece for bert and groupbert, else bytebpe"
    )
    vocab_size: int | None = setting(
        None,
        "number of tokens to aim for (wordlevel: of words, without special tokens); "
        "left out, that of the first model of the family",
        minimum=1,
        maximum=1_000_000,
    )
    special_tokens: SpecialTokens | None = setting(
        None, "whose special tokens, as [MASK] or <mask>; left out, those of the model's family"
    )
    lowercase: bool = setting(True, "wordpiece: lower-case the text and strip accents")
    min_frequency: int | None = setting(
        None,
        "pairs seen less often become no token (left out, 2); wordlevel: words, instead of "
        "vocabSize",
        minimum=1,
    )
    space_token: bool | None = setting(None, "spaces become the token <_>; left out, false")
    newline_token: bool | None = setting(None, "line breaks become a token; left out, false")
    segmenter: str | None = setting(
        None,
        "wordlevel: what cuts text into words: newmm, syllable, presplit (at <|>) or your own",
        pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
    )
    unigram: UnigramTraining | None = setting(None, "settings of type unigram")
    max_bytes: int | None = setting(
        None,
        "bytes of text to train on, drawn at random; left out, all",
        minimum=1_000_000,
        maximum=1_000_000_000_000,
    )

    def mistakes(self) -> Iterator[Mistake]:
        if self.type == "wordlevel":
            yield from self._word_level_mistakes()
        elif self.segmenter is not None:
            rule, way_out = "is for type wordlevel", "remove it, or set type: wordlevel"
            yield Mistake("segmenter", show(self.segmenter), rule, way_out, about=("type",))
        if self.type != "wordlevel" and (self.vocab_size or MIN_VOCABULARY) < MIN_VOCABULARY:
            rule = f"must be >= {MIN_VOCABULARY}"
            yield Mistake("vocabSize", str(self.vocab_size), rule, about=("type",))
        if self.type != "unigram" and self.unigram is not None:
            rule, way_out = "is for type unigram", "remove it, or set type: unigram"
            yield Mistake("unigram", "", rule, way_out, about=("type",))
        if self.type == "unigram" and self.min_frequency is not None:
            rule, way_out = "unigram has none", "remove it"
            yield Mistake("minFrequency", str(self.min_frequency), rule, way_out, about=("type",))

    def _word_level_mistakes(self) -> Iterator[Mistake]:
        if self.vocab_size is not None and self.min_frequency is not None:
            yield Mistake(
                "minFrequency",
                str(self.min_frequency),
                "vocabSize and minFrequency are both given, of which wordlevel takes one",
                "remove one",
                about=("vocabSize", "type"),
            )


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """One of: `train` a tokenizer, or take it `from` a folder that AutoTokenizer loads."""

    train: TokenizerTraining | None = setting(None, "train a tokenizer on the training text")
    from_: str | None = setting(None, "folder of an existing tokenizer")

    def mistakes(self) -> Iterator[Mistake]:
        if self.train is not None and self.from_ is not None:
            both = ("train", "from")
            yield Mistake("", "", "has both train and from", "give one of them", about=both)
        if self.from_ is not None:
            yield from location_mistakes("from", (self.from_,), single=True)
