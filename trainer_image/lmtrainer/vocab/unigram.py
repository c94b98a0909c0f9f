"""Trains a unigram tokenizer with SentencePiece, and converts it so that it gives the same ids.

Called by `vocab.training`. SentencePiece trains in one thread and draws no random numbers, so every
process gets the same pieces (the trainer of the tokenizers library does not). What is done so that
both read text alike:

- White space is mapped character by character, in SentencePiece by a table of its own. Its own
  table for NFKC is not used: it replaces the longest match and knows no order of accents, which
  nobody else does. With `normalization: nfkc` SentencePiece's model reads text in that form.
- Scores are rounded to SCORE_STEP. Sums of them are then exact, in SentencePiece's 32 bits as in
  the 64 of the tokenizers library, and ties are ties in both.
- No space is put before the first word, and no space is taken away.
"""

from __future__ import annotations

import heapq
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from lmtrainer.config.tokenizer import TokenizerTraining, UnigramTraining
from lmtrainer.faults import UserError
from lmtrainer.randomness import Purpose, derive, uniform
from lmtrainer.vocab.pipeline import finish, written
from lmtrainer.vocab.spaces import OTHER_SPACES
from lmtrainer.vocab.specials import NEWLINE, SPACE, marks_of, once, specials_of
from lmtrainer.vocab.wordpiece import Texts

MODEL_FILE = "sp.model"
"""SentencePiece's own model, beside tokenizer.json."""

SCORE_STEP = 2.0**-6
"""Sums of scores are exact in 32 bits up to 2**18, which some 100 kB of text do not reach."""

MAX_LINE = 2000
"""Longer lines are trained on in parts of so many characters: SentencePiece leaves out longer
ones."""

_MAX_BYTES = 4 * 4 * MAX_LINE
"""In SentencePiece's count, with tokens for spaces."""

_BLOCK = 4096
"""Lines whose fate is decided at once."""

_BYTE_SCORE = -1000.0
"""Of the tokens for bytes. No text shall match them; the one that does has their very letters, such
as <0x41>, and some character that is unknown."""


def train_model(settings: TokenizerTraining, texts: Texts) -> bytes:
    """SentencePiece's model. UserError if the text has more characters than tokens are wanted."""
    wanted = settings.unigram or UnigramTraining()
    normal = _normal_form(wanted)
    lines = (normal.normalize_str(line) if normal else line for line in _sample(wanted, texts))
    trained = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder, "rules.tsv")
        rules.write_text(_rules(settings), "ascii")
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=lines,
                model_writer=trained,
                model_type="unigram",
                vocab_size=settings.vocab_size,
                hard_vocab_limit=False,
                character_coverage=wanted.character_coverage,
                max_sentencepiece_length=wanted.max_piece_length,
                byte_fallback=wanted.byte_fallback,
                max_sentence_length=_MAX_BYTES,
                add_dummy_prefix=False,
                remove_extra_whitespaces=False,
                normalization_rule_tsv=str(rules),
                num_threads=1,
                minloglevel=2,
                **_named_tokens(settings),
            )
        except RuntimeError as fault:
            raise UserError(_refused(settings, fault)) from None
    return _rounded(trained.getvalue())


def converted(model: bytes, settings: TokenizerTraining) -> Tokenizer:
    """A tokenizer of the tokenizers library that gives the ids of SentencePiece's model."""
    wanted = settings.unigram or UnigramTraining()
    pieces = ModelProto.FromString(model).pieces
    byte = ModelProto.SentencePiece.BYTE
    vocab = [(p.piece, _BYTE_SCORE if p.type == byte else p.score) for p in pieces]
    unknown = specials_of(settings)["unk"]
    unk_id = next(id_ for id_, piece in enumerate(pieces) if piece.piece == unknown)
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id, byte_fallback=wanted.byte_fallback))
    tokenizer.normalizer = normalizers.Sequence(_normalizers(settings))
    if not settings.space_token:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    steps: list[Any] = [decoders.ByteFallback()] if wanted.byte_fallback else []
    steps.append(decoders.Metaspace(prepend_scheme="never"))
    tokenizer.decoder = written(*steps) if settings.space_token else decoders.Sequence(steps)
    return finish(tokenizer, settings)


def _normalizers(settings: TokenizerTraining) -> list[Any]:
    """As SentencePiece's model has it in its table, after the normal form."""
    normal = _normal_form(settings.unigram or UnigramTraining())
    space = SPACE if settings.space_token else " "
    spaces = Regex(f"[{' ' if settings.space_token else ''}{_spaces(settings)}]")
    return [*([normal] if normal else []), normalizers.Replace(spaces, space)]


def _normal_form(wanted: UnigramTraining) -> Any | None:
    return normalizers.NFKC() if wanted.normalization == "nfkc" else None


def _spaces(settings: TokenizerTraining) -> str:
    return OTHER_SPACES.replace(NEWLINE, "") if settings.newline_token else OTHER_SPACES


def _rules(settings: TokenizerTraining) -> str:
    """SentencePiece's table: lines of code points, what stands for them after a tabulator."""
    space = SPACE if settings.space_token else " "
    mapped = " ".join(f"{ord(character):04X}" for character in space)
    changed = _spaces(settings) + (" " if settings.space_token else "")
    return "".join(f"{ord(character):04X}\t{mapped}\n" for character in changed)


def _named_tokens(settings: TokenizerTraining) -> dict[str, Any]:
    """Ids and names of the special tokens, as SentencePiece wants to be told."""
    specials = specials_of(settings)
    every = once(specials)
    named: dict[str, Any] = {}
    for role in ("pad", "unk", "bos", "eos"):
        token = specials.get(role)
        taken = token is None or (role != "unk" and token == specials["unk"])
        if taken or token in [named.get(f"{other}_piece") for other in ("pad", "unk", "bos")]:
            named[f"{role}_id"] = -1
        else:
            named |= {f"{role}_id": every.index(str(token)), f"{role}_piece": token}
    rest = [token for token in every if token not in named.values()]
    control = [token for token in rest if token != specials.get("mask")]
    # In this order they get the ids that are left.
    symbols = [token for token in rest if token not in control] + marks_of(settings)
    return {**named, "control_symbols": control, "user_defined_symbols": symbols}


def _sample(wanted: UnigramTraining, texts: Texts) -> Iterator[str]:
    """The lines of the texts; if there are more than wanted, so many of them, each as likely as
    any other, in their order. Only those are ever held."""
    key = derive(Purpose.SENTENCES)
    kept: list[tuple[float, int, str]] = []
    for number, line in enumerate(_lines(texts("train tokenizer"))):
        if number % _BLOCK == 0:
            chances = uniform(key, range(number, number + _BLOCK)).tolist()
        entry = (-chances[number % _BLOCK], number, line)
        if len(kept) < wanted.sentences:
            heapq.heappush(kept, entry)
        elif entry > kept[0]:
            heapq.heapreplace(kept, entry)
    kept.sort(key=lambda entry: entry[1])
    return (line for _, _, line in kept)


def _lines(texts: Iterator[str]) -> Iterator[str]:
    """Lines that are not blank, long ones in parts."""
    for text in texts:
        for line in text.split("\n"):
            if line.strip():
                yield from (line[at : at + MAX_LINE] for at in range(0, len(line), MAX_LINE))


def _rounded(model: bytes) -> bytes:
    proto = ModelProto.FromString(model)
    normal = ModelProto.SentencePiece.NORMAL
    for piece in proto.pieces:
        if piece.type == normal:
            piece.score = round(piece.score / SCORE_STEP) * SCORE_STEP
    # A path of this process: the table itself is in the model.
    proto.normalizer_spec.ClearField("normalization_rule_tsv")
    return bytes(proto.SerializeToString(deterministic=True))


def _refused(settings: TokenizerTraining, fault: RuntimeError) -> str:
    reason = str(fault).strip().splitlines()[-1]
    return (
        f"tokenizer.train.vocabSize: SentencePiece cannot make {settings.vocab_size} tokens of "
        f"this text ({reason}); raise it, or lower tokenizer.train.unigram.characterCoverage"
    )
