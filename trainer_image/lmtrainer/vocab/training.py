"""Trains a tokenizer, the same one every time: WordPiece as BERT's, byte-level BPE as GPT-2's and
RoBERTa's, or whole words.

Called by the preparation of data, with training documents only. The training itself is that of the
tokenizers library (Sennrich et al., arXiv 1508.07909, with counts; WordPiece differs in marking
what continues a word).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from tokenizers.trainers import BpeTrainer, WordLevelTrainer, WordPieceTrainer

from lmtrainer.config.tokenizer import SpecialTokens, TokenizerTraining, TokenizerType
from lmtrainer.vocab.chunks import removed_spaces

BERT_SPECIALS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
"""Role -> token, in the order of their ids from 0."""

GPT2_SPECIALS = {role: "<|endoftext|>" for role in ("bos", "eos", "unk")}

ROBERTA_SPECIALS = {
    **{"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
    **{"bos": "<s>", "eos": "</s>"},
}

SPECIALS: Mapping[SpecialTokens, Mapping[str, str]] = MappingProxyType(
    {"bert": BERT_SPECIALS, "gpt2": GPT2_SPECIALS, "roberta": ROBERTA_SPECIALS}
)

CONTINUED = "##"
"""How a WordPiece begins that continues a word."""

MAX_ALPHABET = 1000
"""Most characters that become tokens of their own; the rarer ones are unknown."""

_MAX_SEEN = 1_000_000
"""Chunks that the search for the alphabet remembers, about 100 MB."""

Texts = Callable[[str], Iterator[str]]
"""Called with an activity, the training texts from the beginning."""


def train(settings: TokenizerTraining, texts: Texts) -> Tokenizer:
    """Train a tokenizer of the settings' type and size. Equal texts give equal tokenizers."""
    assert settings.vocab_size is not None, "the settings must be resolved"
    assert settings.special_tokens is not None, "the settings must be resolved"
    specials = SPECIALS[settings.special_tokens]
    assert settings.type is not None, "the settings must be resolved"
    return _TRAINED[settings.type](settings, settings.vocab_size, specials, texts)


def _wordpiece(
    settings: TokenizerTraining, size: int, specials: Mapping[str, str], texts: Texts
) -> Tokenizer:
    first, continuing = _alphabet(_bert(settings.lowercase, {}, specials), texts)
    trained = _bert(settings.lowercase, {}, specials)
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=settings.min_frequency,
        # Equal counts are decided by id. The library numbers what continues a word in the order of
        # a hash table, differently in each process, so every character gets its id here.
        special_tokens=[*_once(specials), *first, *continuing],
        initial_alphabet=first,
        limit_alphabet=len(first),
        continuing_subword_prefix=CONTINUED,
        show_progress=False,
    )
    trained.train_from_iterator(texts("train tokenizer"), trainer)
    return _bert(settings.lowercase, trained.get_vocab(), specials)


def _once(specials: Mapping[str, str]) -> list[str]:
    """Each special token, in the order of its id."""
    return list(dict.fromkeys(specials.values()))


def _bert(lowercase: bool, vocab: dict[str, int], specials: Mapping[str, str]) -> Tokenizer:
    """BERT's pipeline over a vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=specials["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUED)
    if vocab:
        tokenizer.add_special_tokens(_once(specials))
    if vocab and "sep" in specials:
        sep, cls = ((specials[role], vocab[specials[role]]) for role in ("sep", "cls"))
        tokenizer.post_processor = processors.BertProcessing(sep, cls)
    return tokenizer


def _alphabet(tokenizer: Tokenizer, texts: Texts) -> tuple[list[str], list[str]]:
    """The characters that stand in words, at most the MAX_ALPHABET most frequent, and those of them
    that continue a word, marked so. Each sorted."""
    trainer = WordPieceTrainer(vocab_size=1, special_tokens=[], show_progress=False)
    chunks = _new_chunks(texts("find alphabet"), removed_spaces(tokenizer) or "")
    tokenizer.train_from_iterator(chunks, trainer)
    found = tokenizer.get_vocab()
    characters = sorted(token for token in found if len(token) == 1)
    if len(characters) > MAX_ALPHABET:
        counts = _count(texts("count alphabet"), tokenizer)
        # Sorting is stable: equally frequent ones stay in the order of their codes.
        characters.sort(key=lambda character: -counts[character])
    first = sorted(characters[:MAX_ALPHABET])
    return first, [marked for marked in (CONTINUED + c for c in first) if marked in found]


def _count(texts: Iterator[str], tokenizer: Tokenizer) -> Counter[str]:
    """How often each character occurs in the cleaned text."""
    raw: Counter[str] = Counter()
    for text in texts:
        raw.update(text)
    cleaned: Counter[str] = Counter()
    for character, count in raw.items():
        for part in tokenizer.normalizer.normalize_str(character):
            cleaned[part] += count
    return cleaned


def _new_chunks(texts: Iterator[str], removed: str) -> Iterator[str]:
    """Each text without the white-space chunks that came before: all characters, in every place of
    a word that they have, at a fraction of the work. `removed` separates for Python alone."""
    remove = str.maketrans("", "", removed)
    seen: set[str] = set()
    for text in texts:
        if any(character in text for character in removed):
            text = text.translate(remove)
        new = set(text.split()).difference(seen)
        if len(seen) > _MAX_SEEN:
            seen.clear()
        seen |= new
        yield " ".join(new)


def _byte_bpe(
    settings: TokenizerTraining, size: int, specials: Mapping[str, str], texts: Texts
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = BpeTrainer(
        vocab_size=size,
        min_frequency=settings.min_frequency,
        special_tokens=_once(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts("train tokenizer"), trainer)
    if "sep" in specials:
        ids = tokenizer.get_vocab()
        sep, cls = ((specials[role], ids[specials[role]]) for role in ("sep", "cls"))
        tokenizer.post_processor = processors.RobertaProcessing(
            sep, cls, trim_offsets=False, add_prefix_space=False
        )
    return tokenizer


def _word_level(
    settings: TokenizerTraining, size: int, specials: Mapping[str, str], texts: Texts
) -> Tokenizer:
    """Words between white space; other words are unknown."""
    tokenizer = Tokenizer(models.WordLevel(unk_token=specials["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = WordLevelTrainer(
        vocab_size=size,
        min_frequency=settings.min_frequency,
        special_tokens=_once(specials),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts("train tokenizer"), trainer)
    return _wrapped(tokenizer, specials)


def _wrapped(tokenizer: Tokenizer, specials: Mapping[str, str]) -> Tokenizer:
    """With the special tokens that go around a text, where there are any."""
    if "sep" in specials:
        cls, sep = specials["cls"], specials["sep"]
        ids = tokenizer.get_vocab()
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[cls, "$A", sep],
            pair=[cls, "$A", sep, "$B:1", f"{sep}:1"],
            special_tokens=[(cls, ids[cls]), (sep, ids[sep])],
        )
    return tokenizer


_Train = Callable[[TokenizerTraining, int, Mapping[str, str], Texts], Tokenizer]
_TRAINED: Mapping[TokenizerType, _Train] = MappingProxyType(
    {
        "wordpiece": _wordpiece,
        "bytebpe": _byte_bpe,
        "wordlevel": _word_level,
    }
)
