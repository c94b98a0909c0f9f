"""Which run an output folder belongs to, and which folder a job gets.

run.json names the job that writes there and the configuration that decides the weights. The same
configuration may go on under another job; another one is refused, field by field.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmtrainer.config import MistakesError, Work, config_hash, fingerprint, identity, parse
from lmtrainer.config.mistakes import show
from lmtrainer.config.schema import differences, document
from lmtrainer.contract.output import CONFIGURATION_FILE, RUN_FILE, folder_beside
from lmtrainer.contract.reports import known_part
from lmtrainer.durable import read_small, replace
from lmtrainer.faults import UserError

VERSION = 1
LOCK_FILE = "lock"
RECORDS = "records"
"""Folder of the completion records."""

MAX_DIFFERENCES = 20
"""Fields that a message lists before it says how many more there are."""

_HARMLESS = frozenset({LOCK_FILE, "lost+found"})
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FIELD = "output.to"


def ways_out(field: str) -> str:
    """What a user may do about a place that holds another run."""
    return f"choose another {field}, or set checkpoint.resume to never to start afresh beside it"


_CHOOSE = f"choose another {_FIELD}"
WAYS_OUT = ways_out(_FIELD)


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """run.json."""

    version: int = VERSION
    job_uid: str
    attempt: int
    """The newest attempt that wrote here."""
    config_hash: str
    identity: Mapping[str, Any]
    """The part of the configuration that decides the weights (`config.identity`), for people: the
    hash compares, as it was frozen with the plan."""
    identity_sha256: str
    """Of the identity as it stands here."""


def identity_of(run: Work, job_uid: str, attempt: int) -> RunIdentity:
    """What run.json says while this attempt of this job writes."""
    plain = identity(run)
    return RunIdentity(
        job_uid=job_uid,
        attempt=attempt,
        config_hash=config_hash(run),
        identity=plain,
        identity_sha256=fingerprint(plain),
    )


def write_identity(folder: Path, record: RunIdentity) -> None:
    replace(folder / RUN_FILE, identity_text(record))


def identity_text(record: RunIdentity) -> str:
    return json.dumps(document(record), indent=1, allow_nan=False) + "\n"


def write_configuration(folder: Path, run: Work) -> None:
    """Leave the configuration in the folder, such that it reads back as an equal one."""
    plain = {key: value for key, value in document(run).items() if key != "configHash"}
    replace(folder / CONFIGURATION_FILE, json.dumps(plain, indent=1, allow_nan=False) + "\n")


def read_identity(folder: Path) -> RunIdentity | None:
    """run.json of a folder, or None if there is none. UserError if it cannot be believed: going on
    without it could mix two runs."""
    path = folder / RUN_FILE
    try:
        return parse_identity(read_small(path), path, _FIELD)
    except FileNotFoundError:
        return None
    except OSError as fault:
        if fault.errno in (errno.ELOOP, errno.EINVAL, errno.ENXIO):
            raise UserError(f"{_FIELD}: {path} is not a plain file; {_CHOOSE}") from fault
        raise


def parse_identity(content: bytes, place: object, field: str) -> RunIdentity:
    """What a run.json says. UserError, which names the field and the place, if it cannot be
    believed."""
    choose = f"choose another {field}"
    try:
        found = parse(RunIdentity, known_part(RunIdentity, json.loads(content)))
    except (MistakesError, ValueError, RecursionError) as fault:
        raise UserError(f"{field}: {place} is damaged ({fault}); {choose}") from fault
    if found.version > VERSION:
        raise UserError(f"{field}: {place} is of a newer lmtrainer; use that, or {choose}")
    if fingerprint(document(found.identity)) != found.identity_sha256:
        raise UserError(f"{field}: {place} is damaged (its hash does not match); {choose}")
    return found


def resolve(base: Path, run: Work, job_uid: str) -> Path:
    """The folder that this job writes to; nothing is written. Every attempt gets the same answer.

    Nothing there, or the job's own: `base`. Another job's of the same configuration: `base` too,
    its work goes on; with `resume: never` a folder beside it, named after the job. UserError for
    another configuration, and for a folder with visible files but no run.json: what made them is
    unknown, and they could be taken for, or overwritten by, results of this run.
    """
    if not _UID.fullmatch(job_uid):
        raise ValueError(f"a job uid must be letters, digits and -_. (got {job_uid!r})")
    if run.checkpoint.resume != "never":
        _check(base, run, job_uid)
        return base
    beside = base.with_name(folder_beside(base.name, job_uid))
    owner = read_identity(base)
    if _belongs(read_identity(beside), job_uid):
        chosen = beside
    elif owner is None or _belongs(owner, job_uid):
        chosen = base
    elif os.path.ismount(base):
        way_out = "name a folder in it, such as pvc://results/my-model"
        raise UserError(f"output.to: is a whole volume, and another run's; {way_out}")
    else:
        chosen = beside
    _check(chosen, run, job_uid)
    return chosen


def check_owner(folder: object, found: RunIdentity, mine: RunIdentity, field: str = _FIELD) -> None:
    """UserError, field by field, if the folder belongs to a run of another configuration."""
    if found.config_hash != mine.config_hash:
        differing = "; ".join(_differing(found.identity, mine.identity)) or "its hash"
        raise UserError(
            f"{field}: {folder} holds another run (job {found.job_uid}) with another "
            f"configuration: {differing}; {_ways_out(field, mine)}"
        )


def _ways_out(field: str, mine: RunIdentity) -> str:
    """A program of the user's own cannot be told not to resume."""
    return f"choose another {field}" if mine.identity.get("program") else ways_out(field)


def _check(folder: Path, run: Work, job_uid: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"output.to: {folder} is not a folder; {_CHOOSE}")
    found = read_identity(folder)
    if found is not None:
        check_owner(folder, found, identity_of(run, job_uid, 0))
        if run.checkpoint.resume == "never" and found.job_uid != job_uid:
            raise UserError(f"output.to: {folder} belongs to job {found.job_uid}; {_CHOOSE}")
        return
    strangers = _strangers(folder)
    if strangers:
        raise UserError(
            f"output.to: {folder} holds {len(strangers)} files or folders that no run is known to "
            f"have made, first: {show(strangers[0])}; give an empty or a new folder"
        )


def _belongs(found: RunIdentity | None, job_uid: str) -> bool:
    return found is not None and found.job_uid == job_uid


def _strangers(folder: Path) -> list[str]:
    names = (entry.name for entry in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name for name in names if not name.startswith(".") and name not in _HARMLESS)


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Each differing field with both values; the hash may tell 1 from 1.0, where no field does."""
    found = list(differences(document(theirs), document(ours)))
    shown = [
        f"{field} is {_value(there)} there, {_value(here)} here" for field, there, here in found
    ]
    if len(shown) > MAX_DIFFERENCES:
        more = len(shown) - MAX_DIFFERENCES
        shown = [*shown[:MAX_DIFFERENCES], f"and {more} more fields"]
    return shown or ["the same values in another form"]


def _value(value: object) -> str:
    return "not set" if value is None else show(value)
