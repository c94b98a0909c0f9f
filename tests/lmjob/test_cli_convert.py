"""`lmjob convert -- COMMAND...`: prints a job that `lmjob validate` takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lmjob.api.spec import parse_job
from lmjob.cli import main
from lmjob.cli.convert import job_name
from tests.lmtrainer.compat.lines import LINES, words_of

MOUNTS = ["--mount", "corpus=/dataset", "--mount", "results=/output"]


def converted(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, dict]:
    assert main(["convert", *words]) == 0
    text = capsys.readouterr().out
    return text, yaml.safe_load(text)


def test_a_training_command_becomes_the_phases_of_a_job(capsys, tmp_path):
    line = LINES["tutorial"].replace("/output/bert/tokens", "bert-base-uncased")
    text, body = converted(capsys, *MOUNTS, "--", *words_of(line))
    spec = body["spec"]
    assert body["metadata"]["name"] == "base"
    assert spec["data"]["train"] == ["pvc://corpus/train.txt"]
    assert spec["output"] == {"to": "pvc://results/bert/base"}
    assert (spec["processesPerNode"], spec["phases"][0]["globalBatchSize"]) == (4, 512)
    assert "# --fp16 true: renamed: precision\n" in text
    assert "is a path of one machine" not in text
    (tmp_path / "job.yaml").write_text(text)
    assert main(["validate", str(tmp_path / "job.yaml")]) == 0


def test_nodes_become_workers(capsys):
    _, body = converted(capsys, "--", *words_of(LINES["thai_nodes"]))
    assert body["spec"]["workers"] == {"replicas": 3}
    assert body["spec"]["processesPerNode"] == 4


def test_what_a_cluster_would_not_find_is_said(capsys):
    text, _ = converted(capsys, "--name", "My run!", "--", *words_of(LINES["thai"]))
    assert "name: my-run" in text
    assert "# spec.data.train[0]: is a path of one machine" in text
    assert "or --mount CLAIM=FOLDER" in text


def test_a_folder_whose_name_begins_alike_is_not_the_mounted_one(capsys):
    line = LINES["tutorial"].replace("/output/bert/tokens", "bert-base-uncased")
    mounts = ["--mount", "corpus=/data", "--mount", "results=/output/"]
    text, body = converted(capsys, *mounts, "--", *words_of(line))
    assert body["spec"]["data"]["train"] == ["/dataset/train.txt"]
    assert body["spec"]["output"] == {"to": "pvc://results/bert/base"}
    assert "# spec.data.train[0]: is a path of one machine" in text


BESIDE = {"tutorial": "bert-base-uncased", "tutorial_again": "bert-base-uncased"}
"""Models in place of folders that are not here."""


@pytest.mark.parametrize("name", sorted(set(LINES) - {"lightning", "lightning_test"}))
def test_every_line_is_a_job_that_is_valid(name, capsys):
    line = LINES[name]
    for folder in ("/output/bert/tokens", "/output/bert/base"):
        line = line.replace(f'model_source="{folder}"', f"model_source={BESIDE.get(name, folder)}")
    _, body = converted(capsys, "--", *words_of(line))
    assert main(["convert", "--", *words_of(line)]) == 0
    spec = parse_job(yaml.safe_load(capsys.readouterr().out)).spec
    assert spec.output.to
    assert body["spec"].get("phases") or body["spec"]["command"][:2] == ["lmtrainer", "compat"]


def test_what_trains_nothing_is_run_in_a_pod_as_it_is(capsys):
    line = "create_vocab.py --model_name_or_path /output/m --vocab_file=/output/v/vocab.txt"
    _, body = converted(capsys, *MOUNTS[2:], "--", *line.split())
    assert body["spec"] == {
        "command": [
            "lmtrainer",
            "compat",
            "nsp:create_vocab.py",
            "--model_name_or_path",
            "pvc://results/m",
            "--vocab_file=pvc://results/v/vocab.txt",
        ],
        "output": {"to": "pvc://results/v/create_vocab-job"},
    }


def test_mistakes_are_told_all_at_once(capsys):
    assert main(["convert", "--", *words_of(LINES["thai"]), "--max_steps", "x", "--sed", "1"]) == 65
    told = capsys.readouterr().err
    assert "command line: --sed: unknown flag; did you mean --seed?" in told


@pytest.mark.parametrize(
    ("text", "name"), [("a/B_c-/", "b-c"), ("/9", "job-9"), ("x" * 90, "x" * 40), ("%", "job")]
)
def test_names_are_those_of_kubernetes(text, name):
    assert job_name(text)[:40] == name


def test_converting_needs_no_torch():
    code = "import lmjob.cli.convert, sys; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path.cwd(), check=False).returncode == 0
