"""Where claims and outputs lie on this machine."""

from __future__ import annotations

import json

import pytest

from lmjob.local.folders import claim_folders, output_folder, parse_mounts
from lmtrainer.config import MistakesError, RunConfig, parse


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_config(to="pvc://results/small", resume="auto", train="pvc://corpus/*.txt", **more):
    return parse(
        RunConfig,
        {
            "data": {"train": [train], **more},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [{"name": "main", "steps": 100}],
            "checkpoint": {"resume": resume},
            "output": {"to": to},
        },
    )


def test_a_claim_lies_where_it_is_mounted_or_below_volumes(here):
    (here / "text").mkdir()
    folders = claim_folders(run_config(cache="pvc://scratch/lm"), {"corpus": "./text"})
    assert folders == {
        "corpus": str(here / "text"),
        "results": str(here / "volumes/results"),
        "scratch": str(here / "volumes/scratch"),
    }
    assert (here / "volumes/results").is_dir()
    assert (here / "volumes/scratch").is_dir()


def test_a_missing_input_is_a_mistake_and_nothing_is_made(here):
    with pytest.raises(MistakesError, match=r"volume claim corpus.*--mount corpus=FOLDER"):
        claim_folders(run_config(), {})
    assert not (here / "volumes").exists()


def test_a_file_is_no_folder(here):
    (here / "text").write_text("")
    with pytest.raises(MistakesError, match="is not a folder"):
        claim_folders(run_config(), {"corpus": "text"})


def test_all_mounts_that_make_no_sense_are_named():
    with pytest.raises(MistakesError) as fault:
        parse_mounts(["corpus", "=x", "a=b=c"])
    assert len(fault.value.mistakes) == 2
    assert parse_mounts(["a=b=c"]) == {"a": "b=c"}


def test_a_job_of_plain_paths_needs_no_claims(here):
    run = run_config(to="out/small", train="text/*.txt")
    assert claim_folders(run, {}) == {}
    assert output_folder(run, {}, "uid") == here / "out/small"


def test_the_output_is_a_folder_of_its_claim(here):
    folders = {"results": str(here / "r")}
    assert output_folder(run_config(), folders, "uid") == here / "r/small"
    deeper = run_config(to="pvc://results/a/b")
    assert output_folder(deeper, folders, "uid") == here / "r/a/b"


@pytest.mark.parametrize(
    ("resume", "owner", "name"),
    [
        ("auto", "another", "small"),
        ("required", "another", "small"),
        ("never", None, "small"),
        ("never", "12345678-9", "small"),
        ("never", "another", "small-12345678"),
    ],
)
def test_only_never_leaves_another_jobs_folder_alone(here, resume, owner, name):
    base = here / "r/small"
    base.mkdir(parents=True)
    if owner:
        (base / "run.json").write_text(json.dumps({"jobUid": owner}))
    found = output_folder(run_config(resume=resume), {"results": str(here / "r")}, "12345678-9")
    assert found == base.with_name(name)


def test_never_leaves_a_folder_alone_whose_owner_cannot_be_read(here):
    base = here / "r/small"
    base.mkdir(parents=True)
    (base / "run.json").write_text("{")
    found = output_folder(run_config(resume="never"), {"results": str(here / "r")}, "12345678-9")
    assert found.name == "small-12345678"
