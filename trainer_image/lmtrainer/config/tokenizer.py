"""Which tokenizer: trained on the training text, or taken from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.mistakes import Mistake
from lmtrainer.config.schema import setting
from lmtrainer.config.sources import location_mistakes

TokenizerType = Literal["wordpiece", "bytebpe", "wordlevel"]
SpecialTokens = Literal["bert", "gpt2", "roberta"]


@dataclass(frozen=True, kw_only=True)
class TokenizerTraining:
    """How a tokenizer is trained on the training documents (never on the held-out ones)."""

    type: TokenizerType | None = setting(
        None, "algorithm; left out, wordpiece for bert and groupbert, else bytebpe"
    )
    vocab_size: int | None = setting(
        None,
        "number of tokens to aim for; left out, that of the first model of the family",
        minimum=300,
        maximum=1_000_000,
    )
    special_tokens: SpecialTokens | None = setting(
        None, "whose special tokens, as [MASK] or <mask>; left out, those of the model's family"
    )
    lowercase: bool = setting(True, "wordpiece: lower-case the text and strip accents")
    min_frequency: int = setting(
        2, "pairs (wordlevel: words) seen less often become no token", minimum=1
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
