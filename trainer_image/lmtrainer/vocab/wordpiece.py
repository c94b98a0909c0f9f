"""Trains WordPiece as BERT's, the same one in every process.

Called by `vocab.training`. The training itself is that of the tokenizers library (Sennrich et al.,
arXiv 1508.07909, with counts; WordPiece differs in marking what continues a word).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer

from lmtrainer.config.tokenizer import TokenizerTraining
from lmtrainer.vocab.chunks import removed_spaces
from lmtrainer.vocab.pipeline import finish, marked, written
from lmtrainer.vocab.specials import (
    BERT_SPECIALS,
    first_tokens,
    goes_around,
    marks_of,
    once,
    size_of,
    specials_of,
)

CONTINUED = "##"
"""How a WordPiece begins that continues a word."""

MAX_ALPHABET = 1000
"""Most characters that become tokens of their own; the rarer ones are unknown."""

_MAX_SEEN = 1_000_000
"""Chunks that the search for the alphabet remembers, about 100 MB."""

Texts = Callable[[str], Iterator[str]]
"""Called with an activity, the training texts from the beginning."""


def train_wordpiece(settings: TokenizerTraining, texts: Texts) -> Tokenizer:
    """BERT's tokenizer, trained on the texts."""
    specials = specials_of(settings)
    first, continuing = _alphabet(_bert(settings.lowercase, {}, specials), texts)
    trained = _bert(settings.lowercase, {}, specials)
    trainer = WordPieceTrainer(
        vocab_size=size_of(settings),
        min_frequency=settings.min_frequency or 0,
        # Equal counts are decided by id. The library numbers what continues a word in the order of
        # a hash table, differently in each process, so every character gets its id here.
        special_tokens=[*first_tokens(settings), *first, *continuing],
        initial_alphabet=first,
        limit_alphabet=len(first),
        continuing_subword_prefix=CONTINUED,
        show_progress=False,
    )
    trained.train_from_iterator(texts("train tokenizer"), trainer)
    tokenizer = _bert(settings.lowercase, trained.get_vocab(), specials)
    if not marks_of(settings):
        return tokenizer
    if settings.space_token:
        tokenizer.normalizer = marked(tokenizer.normalizer)
        tokenizer.decoder = written(decoders.Replace(Regex(f"^{CONTINUED}"), ""), decoders.Fuse())
    return finish(tokenizer, settings)


def from_vocabulary(tokens: Sequence[str], *, lowercase: bool) -> Tokenizer:
    """BERT's tokenizer over the lines of a vocab.txt. ValueError if a special token is missing or
    a token stands twice."""
    ids = {token: id_ for id_, token in enumerate(tokens)}
    missing = [token for token in once(BERT_SPECIALS) if token not in ids]
    if missing:
        raise ValueError(f"has no {', '.join(missing)}")
    if len(ids) < len(tokens):
        twice = next(token for id_, token in enumerate(tokens) if ids[token] != id_)
        raise ValueError(f"has {twice!r} twice")
    return _bert(lowercase, ids, BERT_SPECIALS)


def _bert(lowercase: bool, vocab: dict[str, int], specials: Mapping[str, str]) -> Tokenizer:
    """BERT's pipeline over a vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=specials["unk"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUED)
    if vocab:
        tokenizer.add_special_tokens(once(specials))
    if vocab and goes_around(specials):
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
