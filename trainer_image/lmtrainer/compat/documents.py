"""Files that a command line names, as the translation sees them: handed in, never opened here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from lmtrainer.config.mistakes import Mistake, MistakesError, show


class Files(Protocol):
    """What a translation may ask of the machine that the command line is meant for."""

    def read(self, path: str) -> str | None:
        """The text of a small file; None if there is none."""

    def is_folder(self, path: str) -> bool: ...

    def names(self, folder: str) -> tuple[str, ...]:
        """Sorted names in a folder; none if it is no folder."""


@dataclass(frozen=True)
class NoFiles:
    """No file is there: a command line is translated from its words alone."""

    def read(self, path: str) -> str | None:
        return None

    def is_folder(self, path: str) -> bool:
        return False

    def names(self, folder: str) -> tuple[str, ...]:
        return ()


def mapping_of(path: str, files: Files) -> dict[str, Any]:
    """A JSON or YAML file, by its ending; MistakesError if it is none or not there."""
    text = files.read(path)
    if text is None:
        raise MistakesError([Mistake(path, "", "there is no such file")])
    try:
        found = json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as fault:
        rule = "cannot be read: " + " ".join(str(fault).split())
        raise MistakesError([Mistake(path, "", rule)]) from None
    if not isinstance(found, Mapping):
        raise MistakesError([Mistake(path, show(found), "must be an object")])
    return {str(key): value for key, value in found.items()}


def json_at(place: str, name: str, files: Files) -> dict[str, Any] | None:
    """The JSON file `place`, or the one called `name` in the folder `place`; None if neither is
    there."""
    for path in (place, f"{place.rstrip('/')}/{name}"):
        if path.endswith(".json") and files.read(path) is not None:
            return mapping_of(path, files)
    return None


def yaml_of(plain: Mapping[str, Any]) -> str:
    """The YAML of a plain mapping, in its order."""
    return str(yaml.safe_dump(dict(plain), sort_keys=False, allow_unicode=True))
