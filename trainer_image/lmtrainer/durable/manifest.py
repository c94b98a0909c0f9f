"""The manifest of a folder: which files, how long, which sha256, and what they are.

Written last, so that a folder with a manifest is whole; read before anything else is believed. It
carries a sha256 of itself, so that a flipped bit in a fact is found like one in a file. Files that
it does not name are nobody's claim and are left alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lmtrainer.config.hashing import fingerprint
from lmtrainer.config.mistakes import MistakesError, show
from lmtrainer.config.reading import parse
from lmtrainer.config.schema import camel, document, required, setting
from lmtrainer.contract.reports import known_part
from lmtrainer.durable.files import LEFTOVER, FileFact, measure, open_regular, read_small, replace

MANIFEST_FILE = "manifest.json"
VERSION = 1


class DamagedError(Exception):
    """What lies on the disk is not what was written; the message names the file and the fault."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest that was read and is in itself consistent."""

    version: int = required("of this format", minimum=1)
    files: Mapping[str, FileFact] = required("plain file name -> what it must be")
    facts: Mapping[str, Any] = setting(dict, "what the files are, in camelCase")
    sha256: str = required("of this document without this field, in canonical JSON")


def write_manifest(
    folder: Path, files: Mapping[str, FileFact] | None = None, /, **facts: Any
) -> str:
    """Seal a folder: write its manifest durably. Without `files` every file in it is read and
    measured. Returns the sha256 of the manifest as written, for a completion record."""
    known = measured(folder) if files is None else files
    return replace(folder / MANIFEST_FILE, manifest_text(known, **facts)).sha256


def manifest_text(files: Mapping[str, FileFact], /, **facts: Any) -> str:
    """A manifest as it is written; equal arguments give equal texts."""
    plain = {
        "version": VERSION,
        "files": {name: document(files[name]) for name in sorted(files)},
        "facts": {camel(name): document(value) for name, value in facts.items()},
    }
    plain["sha256"] = fingerprint(plain)
    return json.dumps(plain, indent=1, ensure_ascii=True, allow_nan=False)


def measured(folder: Path) -> dict[str, FileFact]:
    """Every file of a flat folder but the manifest. ValueError if there is a folder in it."""
    names = sorted(entry.name for entry in folder.iterdir())
    names = [name for name in names if name != MANIFEST_FILE and not name.startswith(LEFTOVER)]
    folders = [name for name in names if (folder / name).is_dir()]
    if folders:
        raise ValueError(f"{folder}: a manifest covers plain files, not the folder {folders[0]}")
    return {name: measure(folder / name) for name in names}


def verify_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder and every file that it names; DamagedError if any is not as it
    was written."""
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone, consistent in itself; the files are not looked at. DamagedError."""
    where = f"{folder.name}/{MANIFEST_FILE}"
    try:
        plain = json.loads(read_small(folder / MANIFEST_FILE))
        manifest = parse(Manifest, known_part(Manifest, plain))
    except MistakesError as fault:
        raise DamagedError(f"{where}: {fault.mistakes[0]}") from fault
    except (ValueError, RecursionError) as fault:
        raise DamagedError(f"{where} is not JSON: {fault}") from fault
    except OSError as fault:
        _reject(where, fault)
    if manifest.version > VERSION:
        raise DamagedError(f"{where} has version {manifest.version}, newer than this lmtrainer")
    if fingerprint({key: plain[key] for key in plain if key != "sha256"}) != manifest.sha256:
        raise DamagedError(f"{where} was changed: its own sha256 does not match")
    for name in manifest.files:
        if not _is_plain(name):
            raise DamagedError(f"{where} names {show(name)}, which is not a plain file name")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file with its manifest: all sizes first, for they cost nothing, then all
    contents. DamagedError."""
    for name, fact in manifest.files.items():
        size = _size(folder, name)
        if size != fact.size:
            fault = f"{name} has {size} bytes, its manifest says {fact.size}"
            raise DamagedError(f"{folder.name}: {fault}")
    for name, fact in manifest.files.items():
        try:
            found = measure(folder / name)
        except OSError as fault:
            _reject(f"{folder.name}: {name}", fault)
        if found != fact:
            raise DamagedError(f"{folder.name}: {name} was changed: its sha256 does not match")


def sha256_of(manifest: Path) -> str:
    """sha256 of a manifest as it lies on the disk; OSError if it cannot be read."""
    return hashlib.sha256(read_small(manifest)).hexdigest()


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..", MANIFEST_FILE) and not set(name) & set("/\\\0")


def _size(folder: Path, name: str) -> int:
    try:
        with open_regular(folder / name) as descriptor:
            return os.fstat(descriptor).st_size
    except OSError as fault:
        _reject(f"{folder.name}: {name}", fault)


_DAMAGE = {
    errno.ENOENT: "is missing",
    errno.ELOOP: "is a symbolic link",
    errno.EINVAL: "is not a plain file",
    errno.ENXIO: "is not a plain file",
    errno.EFBIG: "is larger than any manifest",
    errno.EIO: "cannot be read from the disk (I/O error)",
}


def _reject(where: str, fault: OSError) -> NoReturn:
    """What an error of reading proves. Missing rights, a stale mount or too many open files say
    nothing about the folder: work that may be good must not be given up for them."""
    cause = _DAMAGE.get(fault.errno or 0)
    if cause is None:
        raise fault
    raise DamagedError(f"{where} {cause}") from fault
