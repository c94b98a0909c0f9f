"""How the Lightning-style trainer reads its settings: nested files, dotted flags over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmtrainer.compat.documents import Files, mapping_of
from lmtrainer.compat.flags import Flag, Values, read_flags, read_values

_FILE_FLAGS = ("config", "print_config")
_SCRIPT_FLAGS = ("ckpt_path", "output_dir")


def read_nested(flags: Mapping[str, Flag], words: Sequence[str], files: Files) -> Values:
    """Settings out of configuration files, each over the one before it, and of flags over those.
    A file holds every setting: only those that differ from the default count as written."""
    typed = read_flags(_optional(flags), words)
    written: dict[str, Any] = {}
    for path in _configs(words):
        written |= dict(_flat(mapping_of(path, files), flags))
    written = {
        name: value
        for name, value in written.items()
        if name not in flags or value != flags[name].default
    }
    written |= {name: typed[name] for name in typed.given}
    known = _optional(flags) if written.get("print_config") else flags
    return read_values(known, written)


def _optional(flags: Mapping[str, Flag]) -> dict[str, Flag]:
    """The table as --print_config needs it: nothing has to be given."""
    return {name: dataclasses.replace(flag, required=False) for name, flag in flags.items()}


def _configs(words: Sequence[str]) -> Iterator[str]:
    """Every --config of a command line."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == "--config":
            yield after
        elif word.startswith("--config="):
            yield word.partition("=")[2]


def _flat(nested: Mapping[str, Any], flags: Mapping[str, Flag]) -> Iterator[tuple[str, Any]]:
    """`{trainer: {max_epochs: 3}}` as `trainer.max_epochs`. The seed is a setting of its own, also
    where a file has it below `trainer`."""
    for key, value in nested.items():
        if isinstance(value, Mapping) and key not in flags:
            for name, inner in value.items():
                moved = f"{key}.{name}" == "trainer.seed_everything"
                yield ("seed_everything" if moved else f"{key}.{name}"), inner
        else:
            yield key, value


def settings_document(values: Values) -> dict[str, Any]:
    """All settings, nested, as a configuration file has them."""
    found: dict[str, Any] = {}
    for name in values.flags:
        if name in _FILE_FLAGS or name in _SCRIPT_FLAGS:
            continue
        section, _, key = name.rpartition(".")
        (found.setdefault(section, {}) if section else found)[key] = values[name]
    return found
