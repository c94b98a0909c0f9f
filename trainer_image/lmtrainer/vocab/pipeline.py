"""What trained tokenizers have in common: special tokens, tokens for white space, what goes around
a text, and the way back to text.

Called by the trainers. With a token for spaces each space is written, so that text comes back as it
was: nothing is put between tokens. A space becomes its token before anything else looks at the
text; the token is then cut out, so that no other part of the tokenizer meets it.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from lmtrainer.config.tokenizer import TokenizerTraining
from lmtrainer.text.segmenters import SEPARATOR
from lmtrainer.vocab.spaces import ANY_SPACE
from lmtrainer.vocab.specials import SPACE, goes_around, marks_of, once, specials_of

WORDS = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(SEPARATOR, "removed"), pre_tokenizers.WhitespaceSplit()]
)
"""Words of a text that a segmenter has cut: between separators and between white space."""


def marked(normalizer: Any, spaces: Any = ANY_SPACE) -> Any:
    """A normalizer that turns every one of `spaces` into the token for spaces first."""
    own = [] if normalizer is None else [normalizer]
    return normalizers.Sequence([normalizers.Replace(spaces, SPACE), *own])


def written(*steps: Any) -> Any:
    """A decoder that writes the token for spaces as a space, then goes on with `steps`."""
    return decoders.Sequence([decoders.Replace(SPACE, " "), *steps])


def finish(tokenizer: Tokenizer, settings: TokenizerTraining) -> Tokenizer:
    """A new tokenizer of the same parts, with its special tokens, those for white space, and what
    goes around a text."""
    done = Tokenizer(tokenizer.model)
    if tokenizer.normalizer is not None:
        done.normalizer = tokenizer.normalizer
    if tokenizer.pre_tokenizer is not None:
        done.pre_tokenizer = tokenizer.pre_tokenizer
    if tokenizer.decoder is not None:
        done.decoder = tokenizer.decoder
    done.add_special_tokens(once(specials_of(settings)))
    done.add_tokens([_mark(token) for token in marks_of(settings)])
    return wrapped(done, settings)


def wrapped(tokenizer: Tokenizer, settings: TokenizerTraining) -> Tokenizer:
    """With the special tokens that go around a text, where there are any."""
    specials = specials_of(settings)
    if goes_around(specials):
        cls, sep = specials["cls"], specials["sep"]
        ids = tokenizer.get_vocab()
        tokenizer.post_processor = TemplateProcessing(
            single=[cls, "$A", sep],
            pair=[cls, "$A", sep, "$B:1", f"{sep}:1"],
            special_tokens=[(cls, ids[cls]), (sep, ids[sep])],
        )
    return tokenizer


def _mark(token: str) -> AddedToken:
    # Line breaks are seen in the text as it is, spaces once they have been replaced.
    return AddedToken(token, normalized=token == SPACE, special=False)
