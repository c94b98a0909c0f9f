"""Special tokens: whose they are, in the order of their ids from 0, and the tokens for white space.

Called by the trainers of tokenizers and by whoever writes or reads a tokenizer's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lmtrainer.config.tokenizer import SpecialTokens, TokenizerTraining

BERT_SPECIALS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
"""Role -> token, in the order of their ids from 0."""

GPT2_SPECIALS = {role: "<|endoftext|>" for role in ("bos", "eos", "unk")}

ROBERTA_SPECIALS = {
    **{"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
    **{"bos": "<s>", "eos": "</s>"},
}

SENTENCEPIECE_SPECIALS = {
    **{"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>"},
    **{"cls": "<cls>", "sep": "<sep>"},
}

SPECIALS: Mapping[SpecialTokens, Mapping[str, str]] = MappingProxyType(
    {
        "bert": BERT_SPECIALS,
        "gpt2": GPT2_SPECIALS,
        "roberta": ROBERTA_SPECIALS,
        "sentencepiece": SENTENCEPIECE_SPECIALS,
    }
)

SPACE = "<_>"
"""What a space becomes with `spaceToken`."""

NEWLINE = "\n"
"""What a line break becomes with `newlineToken`: a token of that name."""


def specials_of(settings: TokenizerTraining) -> Mapping[str, str]:
    """Role -> token of resolved settings."""
    assert settings.special_tokens is not None, "the settings must be resolved"
    return SPECIALS[settings.special_tokens]


def size_of(settings: TokenizerTraining) -> int:
    """Tokens to aim for, of resolved settings."""
    assert settings.vocab_size is not None, "the settings must be resolved"
    return settings.vocab_size


def once(specials: Mapping[str, str]) -> list[str]:
    """Each special token, in the order of its id."""
    return list(dict.fromkeys(specials.values()))


def marks_of(settings: TokenizerTraining) -> list[str]:
    """The tokens for white space. They stand for text, so they are not special."""
    space = [SPACE] if settings.space_token else []
    return space + ([NEWLINE] if settings.newline_token else [])


def first_tokens(settings: TokenizerTraining) -> list[str]:
    """The tokens that every tokenizer of these settings begins with, in the order of their ids."""
    return once(specials_of(settings)) + marks_of(settings)


def goes_around(specials: Mapping[str, str]) -> bool:
    """Do special tokens go around a text? They do for models that fill in what is hidden."""
    return "mask" in specials
