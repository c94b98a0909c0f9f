"""What a tokenizer is made of, without its vocabulary: small even where that is large.

Called by the encoders, which know some tokenizers by their parts.
"""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

Parts = dict[str, Any]


def parts_of(tokenizer: Tokenizer) -> Parts:
    """`normalizer`, `pre_tokenizer` and `added_tokens` as in tokenizer.json; of the `model` its
    type and, of BPE, what else changes how it reads."""
    model = tokenizer.model
    names = ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
    flags = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return {
        "model": {
            "type": type(model).__name__,
            **{name: getattr(model, name, None) for name in names},
        },
        "normalizer": _state(tokenizer.normalizer),
        "pre_tokenizer": _state(tokenizer.pre_tokenizer),
        "added_tokens": [
            {name: getattr(token, name) for name in flags}
            for token in tokenizer.get_added_tokens_decoder().values()
        ],
    }


def _state(part: Any) -> Parts | None:
    """As the library pickles it: in JSON."""
    found: Parts | None = None if part is None else json.loads(part.__getstate__())
    return found
