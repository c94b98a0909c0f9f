"""Files and folders that are whole or absent, whatever happens: the one home of atomic writing.

    files      one file: written beside, flushed to the disk, renamed; read back without surprises
    folders    many files that appear under their name together
    manifest   what a folder must hold, and the proof that it does

Every room that makes something durable calls these. Whatever begins with `LEFTOVER` is unfinished
and belongs to nobody once its writer is dead. What may not live here: anything that knows what the
files mean.
"""

from lmtrainer.durable.files import (
    LEFTOVER,
    FileFact,
    measure,
    read_small,
    replace,
    sync_folder,
    write_new,
)
from lmtrainer.durable.folders import building, discard, make_folder, remove, remove_leftovers
from lmtrainer.durable.manifest import (
    MANIFEST_FILE,
    DamagedError,
    Manifest,
    check_files,
    manifest_text,
    read_manifest,
    sha256_of,
    verify_manifest,
    write_manifest,
)

__all__ = [
    "LEFTOVER",
    "MANIFEST_FILE",
    "DamagedError",
    "FileFact",
    "Manifest",
    "building",
    "check_files",
    "discard",
    "make_folder",
    "manifest_text",
    "measure",
    "read_manifest",
    "read_small",
    "remove",
    "remove_leftovers",
    "replace",
    "sha256_of",
    "sync_folder",
    "verify_manifest",
    "write_manifest",
    "write_new",
]
