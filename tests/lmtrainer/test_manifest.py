"""A manifest finds every change of what it covers, and of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmtrainer.config import fingerprint
from lmtrainer.contract.reports import Position
from lmtrainer.durable import (
    MANIFEST_FILE,
    DamagedError,
    read_manifest,
    sha256_of,
    verify_manifest,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    place.mkdir()
    (place / "weights").write_bytes(bytes(range(256)) * 5)
    (place / "config").write_text("{}")
    write_manifest(place, step=3, position=Position(phase_index=1, step=3, phase="long"))
    return place


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A lie that is consistent in itself: the manifest's own sha256 is made to fit."""
    plain = json.loads((folder / MANIFEST_FILE).read_text())
    change(plain)
    plain.pop("sha256")
    (folder / MANIFEST_FILE).write_text(json.dumps({**plain, "sha256": fingerprint(plain)}))


def test_an_untouched_folder_verifies_and_says_what_it_is(folder: Path) -> None:
    manifest = verify_manifest(folder)
    assert sorted(manifest.files) == ["config", "weights"]
    position = {"phaseIndex": 1, "step": 3, "phase": "long"}
    assert manifest.facts == {"step": 3, "position": position}


def test_the_returned_hash_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert write_manifest(tmp_path) == sha256_of(tmp_path / MANIFEST_FILE)


def test_sealing_again_covers_what_was_added_but_not_the_manifest(folder: Path) -> None:
    (folder / "vocab").write_text("a b")
    write_manifest(folder)
    assert sorted(verify_manifest(folder).files) == ["config", "vocab", "weights"]


def test_a_folder_inside_is_refused_rather_than_left_out(folder: Path) -> None:
    (folder / "deep").mkdir()
    with pytest.raises(ValueError, match="deep"):
        write_manifest(folder)


def test_every_flipped_bit_of_the_manifest_is_found(folder: Path) -> None:
    good = (folder / MANIFEST_FILE).read_bytes()
    missed = []
    for offset in range(len(good)):
        bad = bytearray(good)
        bad[offset] ^= 1 << (offset % 8)
        (folder / MANIFEST_FILE).write_bytes(bad)
        try:
            verify_manifest(folder)
            missed.append((offset, bytes(bad[offset - 10 : offset + 10])))
        except DamagedError:
            pass
    assert not missed


@pytest.mark.parametrize("lost", [1, 2, 100, 10_000])
def test_a_cut_manifest_is_found(folder: Path, lost: int) -> None:
    good = (folder / MANIFEST_FILE).read_bytes()
    (folder / MANIFEST_FILE).write_bytes(good[:-lost])
    with pytest.raises(DamagedError):
        verify_manifest(folder)


@pytest.mark.parametrize("text", ["null", "[]", "3", "[" * 100_000, '{"version": 1}', "\ud800"])
def test_what_is_no_manifest_is_damage_not_a_crash(folder: Path, text: str) -> None:
    (folder / MANIFEST_FILE).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(DamagedError):
        verify_manifest(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "weights").unlink(), "weights is missing"),
        (lambda f: (f / "weights").write_bytes(b""), "weights has 0 bytes, its manifest says 1280"),
        (lambda f: (f / "weights").write_bytes(bytes(1280)), "weights was changed"),
        (lambda f: (f / MANIFEST_FILE).unlink(), "manifest.json is missing"),
    ],
)
def test_the_message_names_file_and_fault(
    folder: Path, change: Callable[[Path], object], said: str
) -> None:
    change(folder)
    with pytest.raises(DamagedError, match=said):
        verify_manifest(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "a/b", "", "manifest.json"])
def test_a_manifest_cannot_make_us_read_elsewhere(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_text("{}")

    def add(plain: dict[str, Any]) -> None:
        plain["files"][name] = plain["files"]["config"]

    rewrite(folder, add)
    with pytest.raises(DamagedError, match="not a plain file name"):
        verify_manifest(folder)


def test_a_link_or_a_pipe_does_not_stand_for_a_file(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    (folder / "weights").rename(elsewhere)
    (folder / "weights").symlink_to(elsewhere)
    with pytest.raises(DamagedError, match="weights is a symbolic link"):
        verify_manifest(folder)
    (folder / "weights").unlink()
    os.mkfifo(folder / "weights")
    with pytest.raises(DamagedError, match="weights is not a plain file"):
        verify_manifest(folder)


def test_a_manifest_of_a_newer_version_is_not_guessed_at(folder: Path) -> None:
    rewrite(folder, lambda plain: plain.update(version=2))
    with pytest.raises(DamagedError, match="newer than this lmtrainer"):
        read_manifest(folder)


def test_missing_rights_are_not_taken_for_damage(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        verify_manifest(folder)


def test_files_that_the_manifest_does_not_name_are_left_alone(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    verify_manifest(folder)
    assert (folder / "notes.txt").read_text() == "mine"
