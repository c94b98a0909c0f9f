"""What proves that a user's own program has ended well, for the job and for its next attempt.
Caller: `owner`.

What stands for a manifest is the command itself: the files are the program's affair. So a record
counts for the attempts of one job alone: a new job runs its program, whatever lies there.
"""

from __future__ import annotations

from lmtrainer.config import CommandConfig, config_hash, fingerprint
from lmtrainer.contract.reports import Completion
from lmtrainer.output import Claim, forget_records, read_record, write_record

ENDED = "ended"
"""The part of the work that is done before results are copied."""

_PARTS = ("", ENDED)


def has_ended(held: Claim, config: CommandConfig) -> bool:
    """Did an earlier attempt of this job see the end of the program?"""
    found = (read_record(held.folder, "train", part) for part in _PARTS)
    return any(record is not None and _is_ours(record, held, config) for record in found)


def begin(held: Claim) -> None:
    """The program may change everything from now on: what was proven before is not so any more."""
    forget_records(held, "train", _PARTS)


def note(held: Claim, config: CommandConfig) -> None:
    """It has ended well and need not run again, whatever becomes of the copy of its results."""
    write_record(held, _record(held, config), ENDED)


def leave(held: Claim, config: CommandConfig) -> Completion:
    """Nothing is left to be done."""
    record = _record(held, config)
    write_record(held, record)
    return record


def _record(held: Claim, config: CommandConfig) -> Completion:
    return Completion(
        stage="train",
        job_uid=held.job_uid,
        attempt=held.attempt,
        config_hash=config_hash(config),
        manifest_sha256=_made_by(config),
        output=config.output.to,
    )


def _is_ours(record: Completion, held: Claim, config: CommandConfig) -> bool:
    told = (record.job_uid, record.manifest_sha256)
    return record.proves_success and told == (held.job_uid, _made_by(config))


def _made_by(config: CommandConfig) -> str:
    return fingerprint(list(config.command))
