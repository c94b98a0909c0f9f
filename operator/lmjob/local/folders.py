"""Where things lie on this machine: the folder of each volume claim, and that of the output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from lmtrainer.config import Mistake, MistakesError, Work
from lmtrainer.config.mistakes import show
from lmtrainer.config.places import volume_claims, written_places
from lmtrainer.config.sources import claims, parse_location
from lmtrainer.contract.output import RUN_FILE, folder_beside

VOLUMES = "volumes"
"""A claim without a folder of its own lies here, below the current folder."""


def parse_mounts(texts: list[str]) -> dict[str, str]:
    """Read `CLAIM=FOLDER` options; MistakesError with all that are none."""
    pairs = [text.partition("=") for text in texts]
    rule, way_out = "must be CLAIM=FOLDER", "such as --mount corpus=./text"
    wrong = [
        Mistake("--mount", show(text), rule, way_out)
        for text, (claim, _, folder) in zip(texts, pairs, strict=True)
        if not claim or not folder
    ]
    if wrong:
        raise MistakesError(wrong)
    return {claim: folder for claim, _, folder in pairs}


def claim_folders(run: Work, mounts: Mapping[str, str]) -> dict[str, str]:
    """The folder of each claim of a run, absolute. Those that are written to are made; a missing
    one that is read is a mistake."""
    folders = {
        claim: Path(mounts.get(claim, f"{VOLUMES}/{claim}")).expanduser().absolute()
        for claim in volume_claims(run)
    }
    mistakes = [*_unknown(mounts, folders), *_missing(run, folders, mounts)]
    if mistakes:
        raise MistakesError(mistakes)
    for claim in _written(run):
        folders[claim].mkdir(parents=True, exist_ok=True)
    return {claim: str(folder) for claim, folder in folders.items()}


def output_folder(run: Work, folders: Mapping[str, str], job_uid: str) -> Path:
    """Where this job's results go, as the trainer will see it: with `resume: never` a folder of
    another job is left alone, and the one beside it is taken."""
    place = parse_location(run.output.to)
    base = Path(folders[place.authority]) / place.path if place.scheme == "pvc" else _plain(place)
    if run.checkpoint.resume != "never" or _owner(base) in ("", job_uid):
        return base
    return base.with_name(folder_beside(base.name, job_uid))


def _plain(place: object) -> Path:
    return Path(str(place)).absolute()


def _owner(folder: Path) -> str:
    """uid of the job that an output folder belongs to; empty if to none."""
    try:
        found = json.loads((folder / RUN_FILE).read_text())
        return str(found["jobUid"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"


def _written(run: Work) -> tuple[str, ...]:
    return claims(written_places(run))


def _unknown(mounts: Mapping[str, str], folders: Mapping[str, Path]) -> Iterator[Mistake]:
    for claim in mounts:
        if claim not in folders:
            known = ", ".join(folders) or "none"
            yield Mistake("--mount", show(claim), "no volume claim of this job", f"known: {known}")


def _missing(
    run: Work, folders: Mapping[str, Path], mounts: Mapping[str, str]
) -> Iterator[Mistake]:
    written = _written(run)
    for claim, folder in folders.items():
        if folder.is_dir() or (claim in written and not folder.exists()):
            continue
        rule = "is not a folder" if folder.exists() else "there is no such folder"
        shown = mounts.get(claim, f"./{VOLUMES}/{claim}")
        way_out = f"give the folder of claim {claim} by --mount {claim}=FOLDER"
        yield Mistake(f"volume claim {claim}", show(shown), rule, way_out)
