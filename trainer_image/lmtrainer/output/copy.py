"""A copy of the results in a store: whole, proven, and of one run.

Beside the files lie run.json, which says whose prefix it is (`reservation`), and manifest.json,
written last, when every file was read back: who finds it finds results that are whole. Before any
of them is changed it is taken away. Called by the stage `evaluate`, and by `launch.owner` for a
program of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from lmtrainer.config import Work, config_hash
from lmtrainer.contract.output import RUN_FILE
from lmtrainer.durable import MANIFEST_FILE, FileFact, manifest_text, measure
from lmtrainer.output.claim import Claim
from lmtrainer.output.reservation import check_mine
from lmtrainer.s3 import Folder, StoreError

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
    folder of that name; without `names`, if a copy sent it there. FencedError, and nothing is
    changed or sealed any more, if another job took the prefix meanwhile."""
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
    check_mine(folder, mine.job_uid)
    if MANIFEST_FILE in there:
        folder.remove(MANIFEST_FILE)
    folder.abandon_uploads(files)
    for name in stale:
        folder.remove(name)
    _bring(folder, files, facts, missing, tell)
    mine.fence()
    check_mine(folder, mine.job_uid)
    folder.write(MANIFEST_FILE, seal)
    if folder.read(MANIFEST_FILE) != seal:
        raise StoreError(f"{folder.field}: {folder.url}/{MANIFEST_FILE} is not what was written")
    return done


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
    raise StoreError(f"{folder.field}: {folder.url}/{wrong[0]} does not come back as it was sent")


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


def _differs(folder: Folder, there: Mapping[str, int], name: str, fact: FileFact) -> bool:
    return there.get(name) != fact.size or folder.fact(name) != fact
