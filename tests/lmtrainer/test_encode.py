"""Documents become ids; with sentences, each line by itself."""

import numpy as np

from lmtrainer.dataset.encode import encode
from lmtrainer.text.documents import Piece
from lmtrainer.vocab import Vocabulary


class Taken:
    """A writer that keeps what it is given."""

    def __init__(self):
        self.calls = []

    def add(self, split, ids, *, last, ends=()):
        self.calls.append((split, ids.tolist(), last, list(ends)))


def ids(texts):
    """A letter is a token, white space is nothing."""
    return [np.array([ord(c) for c in text if not c.isspace()], np.uint32) for text in texts]


LETTERS = Vocabulary(size=200, encode=ids)


def test_each_line_is_a_sentence_and_empty_ones_are_none():
    taken = Taken()
    text = [
        ("train", Piece("ab\r\n c \n", last=False)),
        ("train", Piece("\n\nd", last=True)),
        ("validation", Piece(" \n", last=True)),
    ]
    encode(text, LETTERS, taken, sentences=True)
    assert taken.calls == [
        ("train", [97, 98, 99], False, [2, 3]),
        ("train", [100], True, [1]),
        ("validation", [], True, []),
    ]
    whole = Taken()
    encode(text[:1], LETTERS, whole)
    assert whole.calls == [("train", [97, 98, 99], False, [])]
