"""Which model a command line means: names of the hub, config.json files, overrides as texts.

Keys of config.json are known, kept, or refused: nothing in it is overlooked. What the tokenizer
says (sizes of the vocabulary, ids) is taken from there, and told where it differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from lmtrainer.compat.documents import Files, json_at
from lmtrainer.config.architecture import PRESETS, ArchitectureChanges, ModelType
from lmtrainer.config.mistakes import Mistake, meant, show
from lmtrainer.config.schema import camel, fields
from lmtrainer.config.spelling import SPELLING
from lmtrainer.contract.output import MODEL_CONFIG_FILE

NAMES: Mapping[str, tuple[ModelType, str]] = MappingProxyType(
    {
        **{f"bert-{s}-{c}": ("bert", s) for s in ("base", "large") for c in ("uncased", "cased")},
        **{f"roberta-{s}": ("roberta", s) for s in ("base", "large")},
        "gpt2": ("gpt2", "small"),
        **{f"gpt2-{s}": ("gpt2", s) for s in ("medium", "large", "xl")},
    }
)
"""Models of the hub whose sizes are known without asking there."""

_OWNERS: Mapping[str, str] = {
    "bert": "google-bert",
    "roberta": "FacebookAI",
    "gpt2": "openai-community",
}
"""Whose they are on the hub, where their names stood alone once."""


def location_of(name: str, files: Files) -> str:
    """What a name means that may be a folder or a model of the hub: a folder if it is there or is
    written like one, else hf://OWNER/NAME."""
    written_so = "://" in name or name.startswith((".", "/", "~")) or name.count("/") > 1
    if written_so or files.is_folder(name):
        return name
    if name in NAMES:
        return f"hf://{_OWNERS[NAMES[name][0]]}/{name}"
    return f"hf://{name}" if "/" in name else name


_OLDER: Mapping[str, Mapping[str, str]] = {"gpt2": {"n_ctx": "maxPositions"}}
"""Keys that transformers wrote once."""

WORDS: Mapping[ModelType, Mapping[str, str]] = MappingProxyType(
    {
        family: {
            **{word: camel(name) for name, words in spelling.items() for word in words},
            **_OLDER.get(family, {}),
        }
        for family, spelling in SPELLING.items()
    }
)
"""Key of config.json -> field of `model.config`."""

_FIXED: Mapping[str, tuple[Any, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "tie_word_embeddings": (True,),
    "type_vocab_size": (1, 2),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
    "ffn_groups": (4,),
    "conv_group_size": (16,),
    "conv_kernel_size": (7,),
    "pruned_heads": ({},),
}
"""What can be no other way here."""

_KEPT = re.compile(
    r"architectures|model_type|transformers_version|(torch_)?dtype|_name_or_path|use_cache|"
    r"gradient_checkpointing|classifier_dropout|summary_\w+|task_specific_params|output_\w+|"
    r"finetuning_task|num_labels|id2label|label2id|return_dict|chunk_size_feed_forward|"
    r"directionality|pooler_\w+|max_num_masked_tokens|language|problem_type|_attn_\w+|"
    r"\w+_token_id|vocab_size|tokenizer_class|name_or_path"
)
"""Keys that say nothing of the model's shape, or what the tokenizer says."""

_OVERRIDE = re.compile(r"(?P<key>[A-Za-z_]\w*)=(?P<value>.*)")
_WHOLE = frozenset(f.key for f in fields(ArchitectureChanges) if int in get_args(f.kind))


def family_of(plain: Mapping[str, Any], where: str) -> ModelType | Mistake:
    """The family that a config.json is of."""
    kind = plain.get("model_type")
    found = next((name for name in PRESETS if name == kind), None)
    if found is not None:
        return found
    rule, way_out = "is no family that is known here", meant(kind, PRESETS)
    return Mistake(f"{where}: model_type", show(kind), rule, way_out)


def changes(
    family: ModelType, plain: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], list[Mistake]]:
    """The fields of `model.config` that a config.json gives, and what cannot be honoured in it."""
    found: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for key, value in plain.items():
        field = WORDS[family].get(key)
        if field is None:
            mistakes += _other(key, value, family, where)
        elif value is None:
            continue
        elif found.setdefault(field, value) != value:
            rule = f"differs from another key that says model.config.{field}"
            mistakes.append(Mistake(f"{where}: {key}", show(value), rule, "make both the same"))
    if family == "roberta" and isinstance(found.get("maxPositions"), int):
        # RoBERTa counts positions from the id of its padding.
        found["maxPositions"] -= int(plain.get("pad_token_id") or 1) + 1
    return found, mistakes


def _other(key: str, value: object, family: ModelType, where: str) -> Iterator[Mistake]:
    """A key that is no size."""
    if key in _FIXED:
        if value not in _FIXED[key]:
            only = " or ".join(show(item) for item in _FIXED[key])
            yield Mistake(f"{where}: {key}", show(value), f"is {only} here", "change or remove it")
    elif not _KEPT.fullmatch(key):
        way_out = meant(key, WORDS[family], "remove it")
        yield Mistake(f"{where}: {key}", show(value), f"unknown key for {family}", way_out)


def read_overrides(family: ModelType, text: str, flag: str) -> tuple[dict[str, Any], list[Mistake]]:
    """The string of --config_overrides, `layer_norm_eps=0.001,hidden_size=1024`, as fields of
    `model.config`. An unknown key or a value of another type is a mistake."""
    plain: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for part in text.split(","):
        match = _OVERRIDE.fullmatch(part.strip())
        if match is None:
            way_out = "such as layer_norm_eps=0.001,hidden_size=1024"
            mistakes.append(Mistake(flag, show(part), "must be KEY=VALUE", way_out))
            continue
        key, word = match["key"], match["value"]
        field = WORDS[family].get(key)
        if field is None:
            way_out = meant(key, WORDS[family])
            mistakes.append(Mistake(f"{flag}: {key}", "", f"unknown key for {family}", way_out))
            continue
        value = _scalar(field, word)
        if value is None:
            rule = f"must be {'a whole number' if field in _WHOLE else 'a number'}"
            mistakes.append(Mistake(f"{flag}: {key}", show(word), rule))
        plain[key] = value
    found, more = changes(family, plain, flag)
    return found, [*mistakes, *more]


def _scalar(field: str, word: str) -> Any:
    """By the type that the field has; None if the word is of another."""
    if field == "activation":
        return word
    try:
        return int(word) if field in _WHOLE else float(word)
    except ValueError:
        return None


def saved_config(folder: str, files: Files) -> dict[str, Any] | None:
    """config.json of a folder, or of a file that is one itself; None if neither is there."""
    return json_at(folder, MODEL_CONFIG_FILE, files)
