"""Repositories of the Hugging Face Hub, in the cache of this machine: `hf://OWNER/NAME` is a model,
`hf://datasets/OWNER/NAME/FILES` are files of a dataset, each with `@REVISION` behind its name.

Called by `text.sources`. The one user of huggingface_hub, which comes with the extra `hf`. It
follows the usual environment: HF_HOME says where the cache is, HF_TOKEN who asks, HF_HUB_OFFLINE=1
that only the cache is looked at. What is fetched is data; no code of a repository is ever run.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from lmtrainer.config.sources import Location
from lmtrainer.faults import UserError
from lmtrainer.text.copies import kept

DATASETS = "datasets"

MODEL_FILES = ("*.json", "*.safetensors", "*.bin", "*.txt", "*.model")
"""What a model and a tokenizer are made of."""


class Repository(NamedTuple):
    """What a location names."""

    kind: str
    name: str
    revision: str | None
    path: str
    """Of a file, a pattern or a folder in it; empty for all of it."""


def repository(location: Location, field: str) -> Repository:
    """Take a location apart; UserError if it names no repository."""
    owner, rest = location.authority, location.path
    kind = "model"
    if owner == DATASETS:
        kind = "dataset"
        owner, _, rest = rest.partition("/")
    name, _, path = rest.partition("/")
    name, _, revision = name.partition("@")
    if not owner or not name:
        raise UserError(
            f"{field}: {location} names no repository; write hf://OWNER/NAME for a model or "
            "hf://datasets/OWNER/NAME/FILES for files of a dataset"
        )
    return Repository(kind, f"{owner}/{name}", revision or None, path)


def snapshot(wanted: Repository, field: str) -> Path:
    """The folder of a repository at its revision; what is not in the cache is fetched, if that is
    allowed. UserError if it cannot be had."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as fault:
        raise UserError(
            f"{field}: hf:// needs the extra hf of the trainer ({fault}); "
            'install it with pip install "lmtrainer[hf]"'
        ) from None
    try:
        found = snapshot_download(
            wanted.name,
            repo_type=wanted.kind,
            revision=wanted.revision,
            allow_patterns=_patterns(wanted),
        )
    except Exception as fault:  # the library and the network below it have many classes
        cause = f"{type(fault).__name__}: {str(fault).splitlines()[0]}"
        raise UserError(
            f"{field}: {wanted.kind} {wanted.name} is not to be had: {cause}; put it into the "
            "cache (HF_HOME), check HF_TOKEN and HF_HUB_OFFLINE, or name a folder in a volume"
        ) from None
    return Path(found)


def plain_folder(wanted: Repository, field: str) -> Path:
    """The files of a repository, or of a folder in it, as plain files, for those of the cache are
    links, which no reader of a model follows. They take no room where the disk has hard links."""
    source = snapshot(wanted, field) / wanted.path
    files = sorted(path for path in source.glob("*") if path.is_file())
    if not files:
        raise UserError(
            f"{field}: {wanted.kind} {wanted.name} has no files in {wanted.path or '/'}"
        )

    def link(place: Path) -> None:
        for path in files:
            _link(path.resolve(), place / path.name)

    return kept(str(source), link)


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def _patterns(wanted: Repository) -> list[str]:
    if wanted.kind == "model":
        return list(MODEL_FILES)
    return [wanted.path, f"{wanted.path}/*"] if wanted.path else ["*"]
