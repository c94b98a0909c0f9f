"""Which folder a job gets, given what lies there; nobody's work is mixed with another's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtrainer.config import ResolvedRun, RunConfig, config_hash, document, identity, parse
from lmtrainer.faults import UserError
from lmtrainer.output import claim, read_identity, resolve

MakeRun = Callable[..., RunConfig]

NEVER = {"resume": "never"}


def own(folder: Path, run: RunConfig, job_uid: str, attempt: int = 1) -> None:
    with claim(folder, run, job_uid, attempt):
        pass


def other(run_config: MakeRun, **fields: object) -> RunConfig:
    return run_config(phases=[{"name": "main", "steps": 99}], **fields)


def test_a_folder_of_ones_own(tmp_path: Path, run_config: MakeRun) -> None:
    run = run_config()
    assert resolve(tmp_path / "out", run, "job-a") == tmp_path / "out"
    own(tmp_path / "out", run, "job-a", attempt=3)
    found = read_identity(tmp_path / "out")
    assert found is not None
    assert (found.job_uid, found.attempt, found.config_hash) == ("job-a", 3, config_hash(run))
    assert dict(found.identity) == identity(run)
    assert resolve(tmp_path / "out", run, "job-a") == tmp_path / "out"


def test_a_frozen_run_goes_on_whatever_newer_software_makes_of_its_hash(
    tmp_path: Path, run_config: MakeRun
) -> None:
    frozen = parse(ResolvedRun, {**document(run_config()), "configHash": "of-older-software"})
    own(tmp_path, frozen, "job-a")
    assert resolve(tmp_path, frozen, "job-a") == tmp_path
    own(tmp_path, frozen, "job-a", attempt=2)


def test_looking_for_a_folder_writes_nothing(tmp_path: Path, run_config: MakeRun) -> None:
    for mode in ("auto", "never", "required"):
        resolve(tmp_path / "out", run_config(checkpoint={"resume": mode}), "job-a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_the_same_configuration_goes_on_under_another_job(
    tmp_path: Path, run_config: MakeRun, mode: str
) -> None:
    own(tmp_path, run_config(), "job-a")
    run = run_config(checkpoint={"resume": mode, "everySteps": 7}, output={"to": "elsewhere"})
    assert resolve(tmp_path, run, "job-b") == tmp_path
    own(tmp_path, run, "job-b")
    found = read_identity(tmp_path)
    assert found is not None and found.job_uid == "job-b"


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_another_configuration_is_refused_field_by_field(
    tmp_path: Path, run_config: MakeRun, mode: str
) -> None:
    own(tmp_path, run_config(), "job-a")
    run = run_config(
        model={"type": "bert", "config": {"hiddenSize": 516}},
        phases=[{"name": "main", "steps": 20}],
        seed=7,
        tokenizer={"from": "mine"},
        checkpoint={"resume": mode},
    )
    with pytest.raises(UserError) as caught:
        resolve(tmp_path, run, "job-b")
    said = str(caught.value)
    assert "job-a" in said
    assert "seed is 42 there, 7 here" in said
    assert "phases[0].steps is 10 there, 20 here" in said
    assert "model.config.hiddenSize is 768 there, 516 here" in said
    assert 'tokenizer.from is not set there, "mine" here' in said
    assert "resume to never" in said and "another output.to" in said
    with pytest.raises(UserError, match=r"phases\[0\]\.steps"):
        own(tmp_path, run, "job-b")


def test_a_job_that_changed_under_its_uid_is_refused_too(
    tmp_path: Path, run_config: MakeRun
) -> None:
    own(tmp_path, run_config(), "job-a")
    with pytest.raises(UserError, match="steps is 10 there, 99 here"):
        resolve(tmp_path, other(run_config), "job-a")


def test_many_differences_are_cut_to_a_message(tmp_path: Path, run_config: MakeRun) -> None:
    phases = [{"name": f"p{n}", "steps": 5} for n in range(30)]
    own(tmp_path, run_config(phases=phases), "job-a")
    changed = [{**phase, "steps": 6} for phase in phases]
    with pytest.raises(UserError, match="and 10 more fields"):
        resolve(tmp_path, run_config(phases=changed), "job-b")


def test_never_starts_afresh_beside_and_finds_its_own_again(
    tmp_path: Path, run_config: MakeRun
) -> None:
    base = tmp_path / "out"
    own(base, run_config(), "11111111-aaaa")
    run = run_config(checkpoint=NEVER)
    beside = tmp_path / "out-22222222"
    assert resolve(base, run, "22222222-bbbb") == beside
    own(beside, run, "22222222-bbbb")
    assert resolve(base, run, "22222222-bbbb") == beside
    (base / "run.json").unlink()
    assert resolve(base, run, "22222222-bbbb") == beside, "the work of attempt 1 is not lost"


def test_never_goes_on_with_its_own_work(tmp_path: Path, run_config: MakeRun) -> None:
    run = run_config(checkpoint=NEVER)
    own(tmp_path / "out", run, "job-a")
    assert resolve(tmp_path / "out", run, "job-a") == tmp_path / "out"


def test_never_does_not_take_a_folder_beside_that_is_not_its_own(
    tmp_path: Path, run_config: MakeRun
) -> None:
    run = run_config(checkpoint=NEVER)
    own(tmp_path / "out", run, "11111111-aaaa")
    own(tmp_path / "out-22222222", run, "22222222-cccc")
    with pytest.raises(UserError, match="22222222-cccc"):
        resolve(tmp_path / "out", run, "22222222-bbbb")


def test_never_does_not_leave_the_volume(tmp_path: Path, run_config: MakeRun) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a volume is not permitted here")
    try:
        own(tmp_path, run_config(), "job-a")
        with pytest.raises(UserError, match="name a folder in it"):
            resolve(tmp_path, run_config(checkpoint=NEVER), "job-b")
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.mark.parametrize("name", ["checkpoints", "tokenizer", "model.safetensors", "thesis.txt"])
def test_a_folder_with_files_of_unknown_origin_is_refused(
    tmp_path: Path, run_config: MakeRun, name: str
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f'"{name}"; give an empty or a new folder'):
        resolve(tmp_path, run_config(), "job-a")


def test_what_a_volume_or_a_runner_puts_there_is_harmless(
    tmp_path: Path, run_config: MakeRun
) -> None:
    for name in ("lost+found", ".lmjob", ".tmp-run.json-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "lock").write_text("")
    assert resolve(tmp_path, run_config(), "job-a") == tmp_path


def test_a_file_is_no_output_folder(tmp_path: Path, run_config: MakeRun) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(UserError, match="is not a folder"):
        resolve(tmp_path / "out", run_config(), "job-a")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}'])
def test_a_damaged_identity_is_not_guessed_at(
    tmp_path: Path, run_config: MakeRun, damage: str
) -> None:
    own(tmp_path, run_config(), "job-a")
    (tmp_path / "run.json").write_text(damage)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        resolve(tmp_path, run_config(), "job-a")


def test_an_identity_that_was_edited_is_damaged(tmp_path: Path, run_config: MakeRun) -> None:
    own(tmp_path, run_config(), "job-a")
    plain = json.loads((tmp_path / "run.json").read_text())
    plain["identity"]["seed"] = 43
    (tmp_path / "run.json").write_text(json.dumps(plain))
    with pytest.raises(UserError, match="hash does not match"):
        resolve(tmp_path, run_config(seed=43), "job-a")


def test_an_identity_of_a_newer_version_is_left_to_it(tmp_path: Path, run_config: MakeRun) -> None:
    own(tmp_path, run_config(), "job-a")
    plain = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**plain, "version": 2, "more": 1}))
    with pytest.raises(UserError, match="newer lmtrainer"):
        resolve(tmp_path, run_config(), "job-a")
    (tmp_path / "run.json").write_text(json.dumps({**plain, "more": 1}))
    assert resolve(tmp_path, run_config(), "job-a") == tmp_path


def test_a_linked_identity_is_refused(tmp_path: Path, run_config: MakeRun) -> None:
    own(tmp_path / "out", run_config(), "job-a")
    (tmp_path / "out" / "run.json").rename(tmp_path / "elsewhere")
    (tmp_path / "out" / "run.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="not a plain file"):
        resolve(tmp_path / "out", run_config(), "job-a")


@pytest.mark.parametrize("uid", ["", "../../etc", "a/b", ".hidden", "a b"])
def test_a_uid_cannot_name_a_folder_elsewhere(
    tmp_path: Path, run_config: MakeRun, uid: str
) -> None:
    with pytest.raises(ValueError, match="job uid"):
        resolve(tmp_path, run_config(checkpoint=NEVER), uid)
