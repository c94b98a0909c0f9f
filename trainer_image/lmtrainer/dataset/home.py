"""Where a prepared dataset lies: in the output folder, or in a cache that many runs share.

Called by `dataset.prepare` and whoever reads what it made. In a cache every dataset has a folder of
its own, named by its fingerprint, so that no run ever changes what another one reads.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lmtrainer import vocab
from lmtrainer.config import MistakesError, RunConfig, parse
from lmtrainer.config.schema import document
from lmtrainer.durable import make_folder, read_small, remove_leftovers, replace
from lmtrainer.faults import UserError
from lmtrainer.text.sources import folder
from lmtrainer.vocab import Vocabulary

POINTER_FILE = "prepared.json"
LOCK_FILE = "lock"
TOKENIZER = "tokenizer"
DATASET = "dataset"

WAIT_SECONDS = 1.0

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """What the output folder says of the dataset that was prepared for it."""

    version: int = 1
    fingerprint: str
    """Of everything that the dataset was made from."""
    manifest_sha256: str
    """Of the dataset's manifest, which names that of the tokenizer."""


def home_of(run: RunConfig, output: Path, claims: Mapping[str, str], fingerprint: str) -> Path:
    """The folder that holds the tokenizer and the dataset of this fingerprint."""
    if run.data.cache is None:
        return output
    return folder(run.data.cache, claims, "data.cache") / f"prepared-{fingerprint[:16]}"


@functools.lru_cache(maxsize=1)
def loaded(tokenizer: Path, sha256: str) -> Vocabulary:
    """The tokenizer in a folder, whose manifest has this sha256: read once by each process."""
    return vocab.load(tokenizer)


def write_pointer(output: Path, pointer: Pointer) -> None:
    replace(output / POINTER_FILE, json.dumps(document(pointer), indent=1))


def pointer_before(output: Path) -> Pointer | None:
    """What was prepared for this folder before, if anything."""
    with contextlib.suppress(UserError):
        return read_pointer(output)
    return None


def read_pointer(output: Path) -> Pointer:
    """UserError if nothing was prepared here."""
    try:
        return parse(Pointer, json.loads(read_small(output / POINTER_FILE)))
    except (OSError, ValueError, MistakesError) as fault:
        raise UserError(
            f"{output}: holds no prepared dataset ({fault}); run the stage prepare first"
        ) from None


@contextlib.contextmanager
def alone(home: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only one who prepares in a shared folder; `waiting` is called each second until then.

    Where the file system knows no locks, two runs may do the same work, and one result is kept.
    """
    make_folder(home)
    with (home / LOCK_FILE).open("ab") as file:
        locked = _lock(file.fileno(), waiting)
        if locked:
            remove_leftovers(home)
        yield


def _lock(descriptor: int, waiting: Callable[[], None]) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            waiting()
            time.sleep(WAIT_SECONDS)
        except OSError as fault:
            if fault.errno not in _NO_LOCKS:
                raise
            return False
