"""The folder of a tokenizer: whole or absent, and loaded by AutoTokenizer as it was meant.

Called by the preparation of data. Written here and not by transformers, whose tokenizers leave out
vocab.txt and know no longest sequence (checked with transformers 5.23).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tokenizers import Tokenizer

from lmtrainer.config.tokenizer import TokenizerTraining
from lmtrainer.durable import building, make_folder, read_small, write_manifest, write_new
from lmtrainer.faults import UserError
from lmtrainer.text.segmenters import find
from lmtrainer.vocab import older
from lmtrainer.vocab.specials import SPECIALS, marks_of, specials_of
from lmtrainer.vocab.wordpiece import from_vocabulary

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
MAP_FILE = "special_tokens_map.json"
VOCAB_FILE = "vocab.txt"

SEGMENTER = "segmenter"
"""Key of tokenizer_config.json: what cuts text into words before this tokenizer reads it."""

_ROLES = tuple(dict.fromkeys(role for names in SPECIALS.values() for role in names))

_USUAL: Mapping[str, tuple[str, ...]] = {
    role: tuple(
        names[role]
        for names in SPECIALS.values()
        if role in names and not (role == "unk" and names[role] == names.get("eos"))
    )
    for role in _ROLES
}
"""What a role is called where a folder does not say: the first that the tokenizer has. A token that
ends a text as well stands for nothing unknown unless that is said."""


def save(
    tokenizer: Tokenizer,
    settings: TokenizerTraining,
    folder: Path,
    *,
    max_length: int,
    fingerprint: str,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> str:
    """Write a trained tokenizer. `max_length` is the longest sequence of the model; the manifest
    carries `fingerprint`; `files` lie beside. Returns the sha256 of the manifest."""
    config: dict[str, Any] = {"model_max_length": max_length}
    specials = specials_of(settings)
    if settings.type == "bytebpe" and not marks_of(settings):
        kind = "RobertaTokenizer" if "mask" in specials else "GPT2Tokenizer"
        config |= {"tokenizer_class": kind, "add_prefix_space": False}
    elif settings.type == "wordpiece" and not marks_of(settings):
        config |= {"tokenizer_class": "BertTokenizer", "do_lower_case": settings.lowercase}
        config |= {"strip_accents": None, "tokenize_chinese_chars": True}
    else:
        # The only class that takes tokenizer.json as it is.
        config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
        config |= {"clean_up_tokenization_spaces": False}
    if settings.segmenter is not None:
        config[SEGMENTER] = settings.segmenter
    config |= {f"{role}_token": token for role, token in specials.items()}
    return _write(folder, tokenizer.to_str(pretty=True).encode(), config, fingerprint, files)


def adopted_files(source: Path) -> tuple[Path, ...]:
    """What `adopt` reads of a folder: older forms only where there is no tokenizer.json."""
    mains = (source / name for name in (TOKENIZER_FILE, VOCAB_FILE))
    main = next((path for path in mains if path.is_file()), None)
    named = (source / name for name in (CONFIG_FILE, MAP_FILE))
    beside = tuple(path for path in named if path.is_file())
    return ((main,) if main else older.files_in(source)) + beside


def adopt(source: Path, folder: Path, *, max_length: int, fingerprint: str) -> str:
    """Take over a tokenizer from another folder: its tokenizer.json unchanged, or made of an older
    form, and what else AutoTokenizer needs, but no code. Returns the sha256 of the manifest;
    UserError if there is none or it is damaged."""
    tokenizer = read(source)
    config = _document(source / CONFIG_FILE)
    # Names a module of Python code in the folder, which is left behind.
    config.pop("auto_map", None)
    roles = special_tokens(source, tokenizer)
    config |= {f"{role}_token": token for role, token in roles.items()}
    known = config.get("model_max_length")
    limits = [known] if isinstance(known, int | float) and known > 0 else []
    config["model_max_length"] = int(min([*limits, max_length]))
    path = source / TOKENIZER_FILE
    if path.is_file():
        return _write(folder, path.read_bytes(), config, fingerprint)
    if (source / VOCAB_FILE).is_file():
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **config}
    else:
        config = {**config, "tokenizer_class": "PreTrainedTokenizerFast"}
    return _write(folder, tokenizer.to_str(pretty=True).encode(), config, fingerprint)


def read(folder: Path) -> Tokenizer:
    """The tokenizer in a folder, out of tokenizer.json, or of the files of an older form; no code
    from the folder is run. UserError if there is none or it is damaged."""
    path = folder / TOKENIZER_FILE
    if not path.is_file() and (folder / VOCAB_FILE).is_file():
        return _from_lines(folder)
    if not path.is_file() and older.files_in(folder):
        return older.read(folder)
    if not path.is_file():
        raise UserError(
            f"tokenizer: {folder} has no {TOKENIZER_FILE}; "
            "save it there with AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as fault:  # the library raises no narrower class
        raise UserError(f"tokenizer: {path} cannot be read: {fault}") from None


def _from_lines(folder: Path) -> Tokenizer:
    path = folder / VOCAB_FILE
    try:
        tokens = path.read_text("utf-8").rstrip("\n").split("\n")
        lowercase = bool(_document(folder / CONFIG_FILE).get("do_lower_case", True))
        return from_vocabulary(tokens, lowercase=lowercase)
    except (OSError, ValueError) as fault:
        raise UserError(f"tokenizer: {path} cannot be used: {fault}") from None


def special_tokens(folder: Path, tokenizer: Tokenizer) -> dict[str, str]:
    """Role (cls, sep, mask, pad, unk, bos, eos) -> token, as far as the folder names it or the
    tokenizer has the usual one."""
    named = {**_document(folder / MAP_FILE), **_document(folder / CONFIG_FILE)}
    found: dict[str, str] = {}
    for role in _ROLES:
        token = named.get(f"{role}_token")
        if isinstance(token, Mapping):
            token = token.get("content")
        for name in (token,) if token else _USUAL[role]:
            if isinstance(name, str) and tokenizer.token_to_id(name) is not None:
                found.setdefault(role, name)
    return found


def cutter(folder: Path) -> Callable[[str], str] | None:
    """What cuts text into words before the tokenizer in `folder` reads it, if anything does.
    UserError if it is not installed."""
    name = _document(folder / CONFIG_FILE).get(SEGMENTER)
    return find(name) if isinstance(name, str) else None


def _document(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_small(path))
    except ValueError as fault:
        raise UserError(f"tokenizer: {path} is not JSON: {fault}") from None
    return found if isinstance(found, dict) else {}


def _write(
    folder: Path,
    tokenizer: bytes,
    config: Mapping[str, Any],
    fingerprint: str,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> str:
    contents = {
        **files,
        TOKENIZER_FILE: tokenizer,
        CONFIG_FILE: f"{json.dumps(config, indent=2)}\n".encode(),
    }
    if json.loads(tokenizer)["model"]["type"] == "WordPiece":
        ids = Tokenizer.from_buffer(tokenizer).get_vocab()
        lines = (f"{token}\n" for token in sorted(ids, key=ids.__getitem__))
        contents[VOCAB_FILE] = "".join(lines).encode()
    make_folder(folder.parent)
    with building(folder) as beside:
        facts = {name: write_new(beside / name, [data]) for name, data in contents.items()}
        return write_manifest(beside, facts, fingerprint=fingerprint)
