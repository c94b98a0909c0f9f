"""The vocabulary of a tokenizer as lines, in the order of ids. Called by `lmtrainer vocab`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lmtrainer.vocab.folder import read

ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})
"""So that a token never takes two lines; only in a vocabulary that holds a line break."""


def lines(folder: Path) -> Iterator[str]:
    """Line k is the token with id k, without its line break; empty where no token has the id.
    If a token holds a line break, it and every backslash are written with a backslash, as in
    `\\n`. UserError if there is no tokenizer or it is damaged."""
    tokens = {id_: token for token, id_ in read(folder).get_vocab(with_added_tokens=True).items()}
    escape = any(sign in token for token in tokens.values() for sign in "\n\r")
    for id_ in range(max(tokens) + 1):
        token = tokens.get(id_, "")
        yield token.translate(ESCAPES) if escape else token
