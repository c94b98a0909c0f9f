"""A tokenizer as the trainer uses it: how many ids, which are special, and text to ids.

Called by the preparation of data, by `dataset` for its special ids and by `models` for its size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models

from lmtrainer.config.model import Objective
from lmtrainer.faults import UserError
from lmtrainer.vocab.chunks import Encode, chunk_encoder, encode_whole
from lmtrainer.vocab.folder import cutter, read, special_tokens
from lmtrainer.vocab.spacechunks import space_encoder
from lmtrainer.vocab.specials import NEWLINE, SPACE

NEEDED: dict[Objective, tuple[str, ...]] = {
    "mlm": ("cls", "sep", "mask"),
    "mlm+nsp": ("cls", "sep", "mask"),
    "clm": ("eos",),
}
"""Special tokens without which an objective cannot be trained."""


def _no_tokenizer(texts: Sequence[str]) -> list[NDArray[np.uint32]]:
    raise ValueError("this vocabulary was made without a tokenizer")


@dataclass(frozen=True, eq=False, kw_only=True)
class Vocabulary:
    """Ids from 0 to size - 1. A role that the tokenizer does not have is None."""

    size: int
    cls: int | None = None
    sep: int | None = None
    mask: int | None = None
    pad: int | None = None
    unk: int | None = None
    bos: int | None = None
    eos: int | None = None
    line_break: int | None = None
    """Stands between two lines, where the tokenizer has a token for it."""
    special_ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Ids that stand for no text, sorted: never masked, never drawn as a replacement."""
    regular_ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """All other ids that are in use, sorted."""
    continues: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    """[size] Is the token of this id a part of a word that another one begins?"""
    encode: Encode = _no_tokenizer
    """Ids of each text, uint32, without added special tokens: those of the tokenizers library."""

    def id_of(self, role: str) -> int | None:
        """Of a special token; None if the tokenizer does not have it."""
        found: int | None = getattr(self, role)
        return found

    @functools.cached_property
    def is_special(self) -> NDArray[np.bool_]:
        """[size] Is this id one that stands for no text?"""
        found = np.zeros(self.size, dtype=np.bool_)
        found[self.special_ids] = True
        return found

    def require(self, objective: Objective) -> None:
        """UserError if a special token is missing that the objective needs."""
        missing = [role for role in NEEDED[objective] if self.id_of(role) is None]
        if missing:
            raise UserError(
                f"tokenizer: has no {', '.join(missing)} token, which {objective} needs; "
                "choose another tokenizer, or name the token in its tokenizer_config.json"
            )


def load(folder: Path) -> Vocabulary:
    """The tokenizer in `folder`; UserError if there is none or it is damaged."""
    tokenizer = read(folder)
    # Cutting and padding are decided by the dataset, whatever the tokenizer was saved with.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.get_vocab(with_added_tokens=True)
    roles = {role: ids[token] for role, token in special_tokens(folder, tokenizer).items()}
    added = tokenizer.get_added_tokens_decoder()
    special = {id_ for id_, token in added.items() if token.special} | set(roles.values())
    known = chunk_encoder(tokenizer) or space_encoder(tokenizer)
    encode = known or (lambda texts: encode_whole(tokenizer, texts))
    return Vocabulary(
        size=max(ids.values()) + 1,
        cls=roles.get("cls"),
        sep=roles.get("sep"),
        mask=roles.get("mask"),
        pad=roles.get("pad"),
        unk=roles.get("unk"),
        bos=roles.get("bos"),
        eos=roles.get("eos"),
        line_break=next((ids[token] for token in LINE_BREAKS if token in ids), None),
        special_ids=np.array(sorted(special), dtype=np.int64),
        regular_ids=np.array(sorted(set(ids.values()) - special), dtype=np.int64),
        continues=_continues(tokenizer, ids),
        encode=_cut_first(encode, cutter(folder)),
    )


def _cut_first(encode: Encode, cut: Callable[[str], str] | None) -> Encode:
    """Texts are cut into words by a segmenter before they are encoded, where there is one."""
    if cut is None:
        return encode
    return lambda texts: encode([cut(text) for text in texts])


def _continues(tokenizer: Tokenizer, ids: Mapping[str, int]) -> NDArray[np.bool_]:
    """WordPiece marks what continues a word, the others what begins one."""
    found = np.zeros(max(ids.values()) + 1, dtype=np.bool_)
    if isinstance(tokenizer.model, models.WordLevel):
        return found
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    for token, id_ in ids.items():
        found[id_] = token.startswith(prefix) if prefix else not token.startswith(BEGINNINGS)
    return found


BEGINNINGS = ("\u0120", "\u010a", "\u0109", "\u2581", SPACE, NEWLINE)
"""How tokens begin that begin a word: a space, a line break or a tabulator of byte-level BPE, the
space of SentencePiece, and the tokens for white space, which go with the word behind them."""

LINE_BREAKS = ("\n", "\u010a", "\u2581")
"""What a line break is called: as it is, in byte-level BPE, or the space of SentencePiece."""
