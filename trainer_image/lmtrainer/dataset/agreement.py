"""Do the tokenizer and the phases fit the saved model that training starts from?

Called by the preparation of data, which comes first: what does not fit is told before any text is
read or any step is made. Only config.json is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmtrainer.config import RunConfig
from lmtrainer.contract.output import MODEL_CONFIG_FILE
from lmtrainer.durable import read_small
from lmtrainer.faults import UserError
from lmtrainer.vocab import Vocabulary

_ROLES: Mapping[str, tuple[str, ...]] = {
    "pad": ("pad",),
    "bos": ("bos", "cls"),
    "eos": ("eos", "sep"),
    "cls": ("cls",),
    "sep": ("sep",),
    "mask": ("mask",),
    "unk": ("unk",),
}
"""Role in a model's configuration -> what a tokenizer may call it, the first that it has."""


def check_lengths(run: RunConfig, model: Path) -> None:
    """UserError, naming every phase whose sequences are longer than the saved model can read."""
    longest = longest_sequence(_config(model))
    if longest is None:
        return
    long = [
        f"phases[{index}].sequenceLength: {phase.sequence_length} is more than the {longest} "
        f"positions of the model in {model}; lower it"
        for index, phase in enumerate(run.phases)
        if phase.sequence_length > longest
    ]
    if long:
        raise UserError("\n".join(long))


def check_special_ids(vocabulary: Vocabulary, model: Path) -> None:
    """UserError, naming every special token that the saved model knows by another id."""
    config = _config(model)
    other = []
    for role, names in _ROLES.items():
        theirs = config.get(f"{role}_token_id")
        ours = next((id_ for id_ in map(vocabulary.id_of, names) if id_ is not None), None)
        if isinstance(theirs, int) and ours is not None and ours != theirs:
            other.append(f"{role} is {ours} for the tokenizer and {theirs} for the model")
    if other:
        raise UserError(
            f"tokenizer: its special tokens are not those of the model in {model}: "
            f"{'; '.join(other)}; choose the tokenizer that the model was trained with"
        )


def longest_sequence(config: Mapping[str, Any]) -> int | None:
    """Tokens that a saved model can read at once, where its configuration tells. RoBERTa counts
    positions from the one behind its pad token's id, so that many of them are never used."""
    places = config.get("max_position_embeddings", config.get("n_positions"))
    if not isinstance(places, int):
        return None
    return places - config.get("pad_token_id", 1) - 1 if _counts_from_pad(config) else places


def _counts_from_pad(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == "roberta"


def _config(model: Path) -> dict[str, Any]:
    """Of a folder without a readable one, that which is told when the model is loaded."""
    path = model / MODEL_CONFIG_FILE
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_small(path))
    except ValueError as fault:
        raise UserError(f"model.from: {path} is not JSON: {fault}") from None
    return found if isinstance(found, dict) else {}
