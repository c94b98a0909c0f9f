"""Datasets by name: a folder of that name, or one of the Hugging Face hub with the usual files.

A folder may hold files or saved parts called train... and validation...; else all of it is text to
train on. On the hub they lie in a folder of the configuration, or in `data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lmtrainer.compat.documents import Files

NAMES: Mapping[str, str] = {"wikitext": "Salesforce/wikitext"}
"""Datasets whose names are older than their owners'."""

_HELD_OUT = ("validation", "valid", "dev", "eval")


@dataclass(frozen=True)
class Dataset:
    """Locations of a dataset. Without `validation` a share of `train` is to be held out."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


def dataset_of(name: str, part: str | None, files: Files) -> Dataset:
    """Where the text of a dataset lies; `part` is its configuration or a folder in it."""
    if not files.is_folder(name):
        return _on_hub(name, part)
    inner = f"{name.rstrip('/')}/{part}" if part else name.rstrip("/")
    folder = inner if part and files.is_folder(inner) else name.rstrip("/")
    names = files.names(folder)
    train = tuple(f"{folder}/{found}" for found in names if found.startswith("train"))
    held_out = tuple(f"{folder}/{found}" for found in names if found.startswith(_HELD_OUT))
    return Dataset(train, held_out) if train else Dataset((folder,), ())


def _on_hub(name: str, part: str | None) -> Dataset:
    owned = NAMES.get(name, name)
    folder = f"hf://datasets/{owned}/{part or 'data'}"
    held_out = (f"{folder}/validation*",) if name in NAMES else ()
    return Dataset((f"{folder}/train*",), held_out)
