"""Whose a prefix in a store is: run.json there, written before anything else.

Called by the stages `prepare` and `evaluate` and by `launch.owner`, all before days of work, and by
`copy`, which looks again before it seals.
"""

from __future__ import annotations

import dataclasses

from lmtrainer.config import CommandConfig, Work, fingerprint
from lmtrainer.contract.output import RUN_FILE, folder_beside
from lmtrainer.faults import FencedError, UserError
from lmtrainer.output.identity import (
    RunIdentity,
    check_owner,
    identity_of,
    identity_text,
    parse_identity,
)
from lmtrainer.s3 import Folder

FIELD = "output.copyTo"


def reserve(url: str, run: Work, job_uid: str, attempt: int) -> Folder:
    """The prefix that this job copies to, as its own by run.json: proof that it can be written.

    The rules are those of the output folder (`identity.resolve`): results of the same configuration
    may be replaced, with `resume: never` those of another job never are. UserError for another
    run's, for objects that no run is known to have made, and for what the store refuses.
    """
    folder = _chosen(url, run, job_uid)
    found = _owner(folder)
    mine = _identity(run, job_uid, attempt)
    if found is not None:
        check_owner(folder.url, found, mine, FIELD)
    else:
        _refuse_strangers(folder)
    if found is None or found.job_uid != job_uid:
        folder.write(RUN_FILE, identity_text(mine).encode())
        check_mine(folder, job_uid)
    return folder


def check_mine(folder: Folder, job_uid: str) -> None:
    """FencedError if another job took the prefix meanwhile."""
    owner = _owner(folder)
    if owner is None or owner.job_uid != job_uid:
        who = f"job {owner.job_uid}" if owner else "nobody"
        raise FencedError(f"{FIELD}: {folder.url} belongs to {who} now")


def _identity(run: Work, job_uid: str, attempt: int) -> RunIdentity:
    """What run.json says there. As runs, all programs of users' own are alike; whether one may
    replace the results of another depends on the folder that they lie in."""
    mine = identity_of(run, job_uid, attempt)
    if not isinstance(run, CommandConfig):
        return mine
    plain = {**mine.identity, "output": run.output.to}
    sha256 = fingerprint(plain)
    return dataclasses.replace(mine, identity=plain, identity_sha256=sha256, config_hash=sha256)


def _chosen(url: str, run: Work, job_uid: str) -> Folder:
    base = Folder(url, FIELD)
    if run.checkpoint.resume != "never":
        return base
    owner = _owner(base)
    if owner is None or owner.job_uid == job_uid:
        return base
    return Folder(folder_beside(url, job_uid), FIELD)


def _owner(folder: Folder) -> RunIdentity | None:
    content = folder.read(RUN_FILE)
    return parse_identity(content, f"{folder.url}/{RUN_FILE}", FIELD) if content else None


def _refuse_strangers(folder: Folder) -> None:
    stranger = folder.first()
    if stranger is not None:
        raise UserError(
            f"{FIELD}: {folder.url} holds objects that no run is known to have made, first: "
            f"{stranger}; give an empty or a new prefix"
        )
