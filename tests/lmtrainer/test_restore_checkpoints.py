"""A damaged checkpoint is never resumed from: it is set aside, with the reason, and the one before
it is used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lmtrainer.checkpoint import Snapshot, load, newest, save
from lmtrainer.config import fingerprint
from lmtrainer.durable import measure
from lmtrainer.faults import UserError

pytestmark = pytest.mark.chaos

Make = Callable[..., Snapshot]
Damage = Callable[[Path], object]

WRITTEN = (
    "model.safetensors",
    "config.json",
    "optimizer.safetensors",
    "state.json",
    "manifest.json",
)
"""Files of a checkpoint in the order of writing."""

OLDER = "0-main-step-00000001"
NEWER = "0-main-step-00000002"


def unfenced() -> None:
    """Nobody else writes here."""


def names(root: Path) -> list[str]:
    return sorted(entry.name for entry in root.iterdir())


@pytest.fixture
def root(tmp_path: Path, make_snapshot: Make) -> Path:
    """Checkpoints of steps 1 and 2."""
    for step in (1, 2):
        save(tmp_path / "checkpoints", make_snapshot(step), keep=3, fence=unfenced)
    return tmp_path / "checkpoints"


def cut(file: Path, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])


def flip(file: Path, offset: int) -> None:
    content = bytearray(file.read_bytes())
    content[offset] ^= 1 << (offset % 8)
    file.write_bytes(content)


def assert_older_is_used(root: Path, config_hash: str) -> str:
    """Step 1 is found with its own weights, step 2 lies aside; returns the reason."""
    before = {file.name: file.lstat().st_size for file in (root / NEWER).iterdir()}
    found = newest(root, config_hash)
    assert found.checkpoint is not None
    assert found.checkpoint.position.step == 1
    assert load(found.checkpoint).weights["embed.weight"][0, 0] == 1
    (aside,) = found.set_aside
    assert aside.name == NEWER
    assert aside.moved_to == f".bad-{NEWER}-1"
    assert names(root) == [aside.moved_to, OLDER]
    kept = {file.name: file.lstat().st_size for file in (root / aside.moved_to).iterdir()}
    assert kept == before, "what is set aside stays as it was found"
    assert newest(root, config_hash).set_aside == (), "it is reported once"
    return aside.reason


def crash_states() -> Iterator[Any]:
    """Every file boundary: all before it whole, all after it absent, the file itself cut."""
    for index, name in enumerate(WRITTEN):
        for share in (None, 0.0, 0.01, 0.5, 0.999):
            yield pytest.param(index, share, id=f"{name}-{share}")


@pytest.mark.parametrize(("index", "share"), list(crash_states()))
def test_a_checkpoint_cut_at_any_file_boundary(
    root: Path, config_hash: str, index: int, share: float | None
) -> None:
    for name in WRITTEN[index + 1 :]:
        (root / NEWER / name).unlink()
    if share is None:
        (root / NEWER / WRITTEN[index]).unlink()
    else:
        cut(root / NEWER / WRITTEN[index], share)
    assert_older_is_used(root, config_hash)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("share", [None, 0.0, 0.01, 0.5, 0.999, 1.0])
def test_one_file_missing_cut_or_too_long(
    root: Path, config_hash: str, name: str, share: float | None
) -> None:
    file = root / NEWER / name
    if share is None:
        file.unlink()
    elif share < 1:
        cut(file, share)
    else:
        file.write_bytes(file.read_bytes() + b"x")
    reason = assert_older_is_used(root, config_hash)
    assert name in reason and NEWER in reason


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("place", [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
def test_one_flipped_bit(root: Path, config_hash: str, name: str, place: float) -> None:
    file = root / NEWER / name
    flip(file, int(place * (file.stat().st_size - 1)))
    assert name in assert_older_is_used(root, config_hash)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A manifest that lies, but is consistent in itself."""
    plain = json.loads((folder / "manifest.json").read_text())
    change(plain)
    plain.pop("sha256")
    (folder / "manifest.json").write_text(json.dumps({**plain, "sha256": fingerprint(plain)}))


def fact(name: str, value: object) -> Damage:
    return lambda folder: rewrite(folder, lambda plain: plain["facts"].update({name: value}))


def foreign_file(name: str) -> Damage:
    def change(folder: Path) -> None:
        (folder.parent / "secret").write_text("{}")
        fact = measure(folder.parent / "secret")
        entry = {"size": fact.size, "sha256": fact.sha256}
        rewrite(folder, lambda plain: plain["files"].update({name: entry}))

    return change


def forget(name: str) -> Damage:
    return lambda folder: rewrite(folder, lambda plain: plain["files"].pop(name))


def lying_state(folder: Path) -> None:
    state = json.loads((folder / "state.json").read_text())
    state["position"]["step"] = 99
    (folder / "state.json").write_text(json.dumps(state))
    fact = measure(folder / "state.json")
    entry = {"size": fact.size, "sha256": fact.sha256}
    rewrite(folder, lambda plain: plain["files"].update({"state.json": entry}))


def link(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere")


def folder_for_file(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()


def pipe_for_file(folder: Path) -> None:
    (folder / "state.json").unlink()
    os.mkfifo(folder / "state.json")


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (fact("step", 3), "another position"),
        (fact("phase", "other"), "another position"),
        (fact("phaseIndex", 1), "another position"),
        (fact("phaseIndex", -1), "another position"),
        (fact("step", "2"), "step"),
        (fact("configHash", "d" * 64), "another config hash"),
        (foreign_file("../secret"), "not a plain file name"),
        (foreign_file("/etc/hostname"), "not a plain file name"),
        (forget("optimizer.safetensors"), "does not name optimizer.safetensors"),
        (lying_state, "another position in state.json"),
        (link, "model.safetensors is a symbolic link"),
        (folder_for_file, "config.json is not a plain file"),
        (pipe_for_file, "state.json is not a plain file"),
    ],
)
def test_a_manifest_that_lies(root: Path, config_hash: str, lie: Damage, said: str) -> None:
    lie(root / NEWER)
    found = newest(root, config_hash)
    assert found.checkpoint is not None and found.checkpoint.path.name == OLDER
    (aside,) = found.set_aside
    assert said in aside.reason


def test_the_files_of_another_step_under_this_name(root: Path, config_hash: str) -> None:
    for name in WRITTEN[:-1]:
        (root / NEWER / name).write_bytes((root / OLDER / name).read_bytes())
    assert_older_is_used(root, config_hash)


def test_a_folder_renamed_to_a_later_step(root: Path, config_hash: str) -> None:
    (root / NEWER).rename(root / "0-main-step-00000009")
    found = newest(root, config_hash)
    assert found.checkpoint is not None and found.checkpoint.path.name == OLDER
    assert "another position" in found.set_aside[0].reason


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_no_checkpoint(root: Path, config_hash: str, kind: str) -> None:
    place = root / "0-main-step-00000009"
    if kind == "file":
        place.write_text("x")
    else:
        place.symlink_to(root / NEWER)
    found = newest(root, config_hash)
    assert found.checkpoint is not None and found.checkpoint.path.name == NEWER
    assert "is not a folder" in found.set_aside[0].reason


def test_the_message_gives_both_sizes(root: Path, config_hash: str) -> None:
    file = root / NEWER / "model.safetensors"
    size = file.stat().st_size
    cut(file, 0.5)
    reason = assert_older_is_used(root, config_hash)
    assert reason == f"{NEWER}: model.safetensors has {size // 2} bytes, its manifest says {size}"


def test_other_names_are_not_looked_at(root: Path, config_hash: str) -> None:
    for name in ("notes", "0-main-step-2", "00-main-step-00000009", "0-main-step-00000009.old"):
        (root / name).mkdir()
    found = newest(root, config_hash)
    assert found.checkpoint is not None and found.checkpoint.path.name == NEWER
    assert found.set_aside == ()


def test_without_any_checkpoint_training_begins_anew(tmp_path: Path, config_hash: str) -> None:
    assert newest(tmp_path / "absent", config_hash).checkpoint is None


def test_when_all_are_damaged_none_is_used_and_all_are_kept(
    tmp_path: Path, make_snapshot: Make, config_hash: str
) -> None:
    for step in range(1, 6):
        saved = save(tmp_path, make_snapshot(step), keep=9, fence=unfenced)
    for folder in tmp_path.iterdir():
        flip(folder / "model.safetensors", 200)
    found = newest(tmp_path, config_hash)
    assert found.checkpoint is None
    assert found.set_aside[0].name == saved.path.name
    assert len(names(tmp_path)) == 5


def test_damaged_ones_of_earlier_times_make_room(
    tmp_path: Path, make_snapshot: Make, config_hash: str
) -> None:
    for step in range(1, 7):
        saved = save(tmp_path, make_snapshot(step), keep=2, fence=unfenced)
        flip(saved.path / "model.safetensors", 200)
        newest(tmp_path, config_hash)
    assert names(tmp_path) == [f".bad-0-main-step-0000000{n}-{n}" for n in (4, 5, 6)]


def test_required_without_a_usable_checkpoint_is_the_users_to_solve(
    root: Path, config_hash: str
) -> None:
    assert newest(root, config_hash, required=True).checkpoint is not None
    for name in (OLDER, NEWER):
        (root / name / "state.json").unlink()
    with pytest.raises(UserError, match=r"checkpoint\.resume.*state\.json is missing.*auto"):
        newest(root, config_hash, required=True)


def test_leftovers_of_dead_attempts_are_removed_by_the_owner(root: Path, config_hash: str) -> None:
    (root / ".tmp-0-main-step-00000003-1-77").mkdir()
    (root / ".tmp-0-main-step-00000003-1-77" / "model.safetensors").write_text("half")
    newest(root, config_hash)
    assert names(root) == [OLDER, NEWER]


def test_who_only_reads_changes_nothing(root: Path, config_hash: str) -> None:
    flip(root / NEWER / "model.safetensors", 200)
    (root / ".tmp-x").mkdir()
    before = sorted(str(path) for path in root.rglob("*"))
    found = newest(root, config_hash, repair=False)
    assert found.checkpoint is not None and found.checkpoint.path.name == OLDER
    assert [(aside.name, aside.moved_to) for aside in found.set_aside] == [(NEWER, "")]
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_training_goes_on_with_what_is_loaded(root: Path, config_hash: str) -> None:
    found = newest(root, config_hash)
    assert found.checkpoint is not None
    snapshot = load(found.checkpoint)
    for tensor in snapshot.weights.values():
        tensor.add_(1)
    assert torch.equal(snapshot.weights["bias"], torch.full((3,), 2.0))
    assert newest(root, config_hash).set_aside == (), "the file is not changed with the tensors"
