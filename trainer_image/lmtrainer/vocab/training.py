"""Trains a tokenizer, the same one every time: WordPiece as BERT's, byte-level BPE as GPT-2's and
RoBERTa's, SentencePiece's unigram, or whole words.

Called by the preparation of data, with training documents only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer, WordLevelTrainer

from lmtrainer.config.tokenizer import TokenizerTraining, TokenizerType
from lmtrainer.text.segmenters import find
from lmtrainer.vocab.folder import save
from lmtrainer.vocab.pipeline import WORDS, finish, marked, wrapped, written
from lmtrainer.vocab.specials import (
    SPACE,
    first_tokens,
    goes_around,
    marks_of,
    size_of,
    specials_of,
)
from lmtrainer.vocab.wordpiece import Texts, train_wordpiece

ANY_NUMBER = 1 << 40
"""More words than any text has."""


def make(
    settings: TokenizerTraining, texts: Texts, folder: Path, *, max_length: int, fingerprint: str
) -> str:
    """Train a tokenizer and write its folder (`vocab.folder.save`). For a unigram SentencePiece's
    own model lies beside it. Returns the sha256 of the manifest."""
    tokenizer, files = _TRAINED[_type_of(settings)](settings, texts)
    return save(
        tokenizer, settings, folder, max_length=max_length, fingerprint=fingerprint, files=files
    )


def train(settings: TokenizerTraining, texts: Texts) -> Tokenizer:
    """Train a tokenizer of the settings' type and size. Equal texts give equal tokenizers.
    UserError if the settings do not fit the text."""
    return _TRAINED[_type_of(settings)](settings, texts)[0]


def _type_of(settings: TokenizerTraining) -> TokenizerType:
    assert settings.type is not None, "the settings must be resolved"
    return settings.type


Trained = tuple[Tokenizer, Mapping[str, bytes]]
"""A tokenizer, and what shall lie beside it."""


def _unigram(settings: TokenizerTraining, texts: Texts) -> Trained:
    # Only who trains one needs SentencePiece.
    from lmtrainer.vocab import unigram

    model = unigram.train_model(settings, texts)
    return unigram.converted(model, settings), {unigram.MODEL_FILE: model}


def _byte_bpe(settings: TokenizerTraining, texts: Texts) -> Tokenizer:
    marks = marks_of(settings)
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(models.BPE())
    apart = [pre_tokenizers.Split(" " if mark == SPACE else mark, "removed") for mark in marks]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*apart, whole]) if marks else whole
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = BpeTrainer(
        vocab_size=size_of(settings),
        min_frequency=settings.min_frequency or 0,
        special_tokens=first_tokens(settings),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts("train tokenizer"), trainer)
    tokenizer.pre_tokenizer = whole
    if settings.space_token:
        # All other white space stays: bytes like any other.
        tokenizer.normalizer = marked(None, " ")
        tokenizer.decoder = written(decoders.ByteLevel())
    if marks:
        return finish(tokenizer, settings)
    specials = specials_of(settings)
    if goes_around(specials):
        ids = tokenizer.get_vocab()
        sep, cls = ((specials[role], ids[specials[role]]) for role in ("sep", "cls"))
        tokenizer.post_processor = processors.RobertaProcessing(
            sep, cls, trim_offsets=False, add_prefix_space=False
        )
    return tokenizer


def _word_level(settings: TokenizerTraining, texts: Texts) -> Tokenizer:
    """Words between white space, or as a segmenter cuts them; other words are unknown. The size is
    a number of words: special tokens come on top."""
    first = first_tokens(settings)
    tokenizer = Tokenizer(models.WordLevel(unk_token=specials_of(settings)["unk"]))
    tokenizer.pre_tokenizer = WORDS if settings.segmenter else pre_tokenizers.WhitespaceSplit()
    trainer = WordLevelTrainer(
        vocab_size=ANY_NUMBER if settings.vocab_size is None else settings.vocab_size + len(first),
        min_frequency=settings.min_frequency or 1,
        special_tokens=first,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_words(settings, texts), trainer)
    if settings.space_token:
        tokenizer.normalizer = marked(None)
        tokenizer.decoder = written(decoders.Fuse())
    return finish(tokenizer, settings) if marks_of(settings) else wrapped(tokenizer, settings)


def _words(settings: TokenizerTraining, texts: Texts) -> Iterator[str]:
    """The texts with their words cut apart."""
    if settings.segmenter is None:
        return texts("train tokenizer")
    return map(find(settings.segmenter), texts("train tokenizer"))


def _alone(
    trained: Callable[[TokenizerTraining, Texts], Tokenizer],
) -> Callable[[TokenizerTraining, Texts], Trained]:
    return lambda settings, texts: (trained(settings, texts), {})


_TRAINED: Mapping[TokenizerType, Callable[[TokenizerTraining, Texts], Trained]] = MappingProxyType(
    {
        "wordpiece": _alone(train_wordpiece),
        "bytebpe": _alone(_byte_bpe),
        "unigram": _unigram,
        "wordlevel": _alone(_word_level),
    }
)
