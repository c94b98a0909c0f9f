"""A copy of the results in a store: whole, proven, and of one run.

Beside the files lie run.json, written first, which says whose prefix it is, and manifest.json,
written last, when every file was read back: who finds it finds results that are whole. Before any
of them is changed it is taken away. Called by the stages `prepare` and `evaluate`, and by
`launch.owner` for a program of the user's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.config import CommandConfig, Work, config_hash, fingerprint
from lmtrainer.contract.output import RUN_FILE, folder_beside
from lmtrainer.durable import LEFTOVER, MANIFEST_FILE, FileFact, manifest_text, measure
from lmtrainer.faults import FencedError, UserError
from lmtrainer.output.claim import Claim
from lmtrainer.output.identity import (
    RunIdentity,
    check_owner,
    identity_of,
    identity_text,
    parse_identity,
)
from lmtrainer.s3 import Folder, StoreError

FIELD = "output.copyTo"

ROUNDS = 3
"""How often what comes back otherwise than it was sent is sent again."""

Tell = Callable[[int, int], None]
"""Called with bytes done and bytes in all; may raise to give up."""


@dataclass(frozen=True)
class Copied:
    """What a copy came to."""

    url: str
    files: int
    sent: int
    """Of the files; the others were there."""
    size: int
    """Bytes of all files."""

    def __str__(self) -> str:
        return f"{self.url}: {self.files} files, {self.size:,} bytes; {self.sent} sent now"


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
        _check_mine(folder, job_uid)
    return folder


def copy(
    mine: Claim,
    files: Mapping[str, Path],
    folder: Folder,
    run: Work,
    *,
    names: Collection[str] | None = None,
    tell: Tell,
) -> Copied:
    """Bring a reserved prefix to hold these files of the output folder, and prove it. What is there
    already is not sent again. What else lies there is removed if it has one of `names`, or is in a
    folder of that name; without `names`, if it was copied. FencedError if another job took the
    prefix meanwhile."""
    facts = {name: measure(path) for name, path in files.items()}
    seal = manifest_text(facts, config_hash=config_hash(run)).encode()
    there = folder.names()
    missing = [name for name in files if _differs(folder, there, name, facts[name])]
    stale = _stale(folder, there.keys() - facts.keys(), names)
    size = sum(fact.size for fact in facts.values())
    done = Copied(folder.url, len(files), len(missing), size)
    if not missing and not stale and folder.read(MANIFEST_FILE) == seal:
        return done
    mine.fence()
    if MANIFEST_FILE in there:
        folder.remove(MANIFEST_FILE)
    folder.abandon_uploads()
    for name in stale:
        folder.remove(name)
    _bring(folder, files, facts, missing, tell)
    mine.fence()
    _check_mine(folder, mine.job_uid)
    folder.write(MANIFEST_FILE, seal)
    if folder.read(MANIFEST_FILE) != seal:
        raise StoreError(f"{FIELD}: {folder.url}/{MANIFEST_FILE} is not what was written")
    return done


def results_in(source: Path, names: Collection[str]) -> dict[str, Path]:
    """The files below a folder that have one of the names, or lie in a folder of that name."""
    found = {}
    for name in sorted(names):
        place = source / name
        paths = sorted(place.rglob("*")) if place.is_dir() else [place]
        for path in paths:
            parts = path.relative_to(source).parts
            if path.is_file() and not any(part.startswith(LEFTOVER) for part in parts):
                found["/".join(parts)] = path
    return found


def _bring(
    folder: Folder,
    files: Mapping[str, Path],
    facts: Mapping[str, FileFact],
    missing: Collection[str],
    tell: Tell,
) -> None:
    """Send what is missing, then read everything back. StoreError for what never comes back as it
    was sent."""
    wrong = list(missing)
    unproven = list(files)
    for _ in range(ROUNDS):
        count = _Count(tell, [facts[name].size for name in (*wrong, *unproven)])
        for name in wrong:
            folder.upload(files[name], name, facts[name], count.of(facts[name]))
        wrong = [n for n in unproven if folder.measure(n, count.of(facts[n])) != facts[n]]
        if not wrong:
            return
        unproven = wrong
    raise StoreError(f"{FIELD}: {folder.url}/{wrong[0]} does not come back as it was sent")


class _Count:
    """Bytes of many files, one after the other."""

    def __init__(self, tell: Tell, sizes: Collection[int]) -> None:
        self._tell, self._total, self._before = tell, sum(sizes), 0

    def of(self, fact: FileFact) -> Callable[[int], None]:
        """To be told how far the next file is."""
        before, self._before = self._before, self._before + fact.size
        return lambda done: self._tell(before + done, self._total)


def _stale(folder: Folder, others: Collection[str], names: Collection[str] | None) -> list[str]:
    if names is not None:
        return sorted(name for name in others if name.split("/")[0] in names)
    unsealed = (name for name in sorted(others) if name not in (RUN_FILE, MANIFEST_FILE))
    return [name for name in unsealed if folder.fact(name) is not None]


def _identity(run: Work, job_uid: str, attempt: int) -> RunIdentity:
    """What run.json says there. As runs, all programs of users' own are alike; whether one may
    replace the results of another depends on the folder that they lie in."""
    mine = identity_of(run, job_uid, attempt)
    if not isinstance(run, CommandConfig):
        return mine
    plain = {**mine.identity, "output": run.output.to}
    sha256 = fingerprint(plain)
    return dataclasses.replace(mine, identity=plain, identity_sha256=sha256, config_hash=sha256)


def _differs(folder: Folder, there: Mapping[str, int], name: str, fact: FileFact) -> bool:
    return there.get(name) != fact.size or folder.fact(name) != fact


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


def _check_mine(folder: Folder, job_uid: str) -> None:
    owner = _owner(folder)
    if owner is None or owner.job_uid != job_uid:
        who = f"job {owner.job_uid}" if owner else "nobody"
        raise FencedError(f"{FIELD}: {folder.url} belongs to {who} now")


def _refuse_strangers(folder: Folder) -> None:
    stranger = folder.first()
    if stranger is not None:
        raise UserError(
            f"{FIELD}: {folder.url} holds objects that no run is known to have made, first: "
            f"{stranger}; give an empty or a new prefix"
        )
