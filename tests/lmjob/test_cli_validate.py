"""`lmjob validate`, and the front door that finds the verbs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lmjob import __version__
from lmjob.cli import USAGE, VERBS, main
from lmtrainer.contract.exits import ExitType
from tests.lmjob.bodies import changed

HEAVY = ("torch", "transformers", "tokenizers", "numpy", "safetensors", "matplotlib")


def test_each_file_is_answered_and_one_mistake_is_enough_to_fail(tmp_path, capsys):
    good, bad, broken = (tmp_path / name for name in ("good.json", "bad.json", "broken.yaml"))
    good.write_text(json.dumps(changed({})))
    bad.write_text(json.dumps(changed({"spec.seed": -1, "spec.suspend": "no"})))
    broken.write_text("a: 1\na: 2\n")
    missing = tmp_path / "missing.yaml"
    files = [str(path) for path in (good, bad, broken, missing)]
    assert main(["validate", *files]) == ExitType.USER_ERROR.code == 65
    assert capsys.readouterr().out.splitlines() == [
        f"{good}: OK",
        f"{bad}: spec.seed: must be >= 0 (got -1)",
        f'{bad}: spec.suspend: must be true or false (got string "no")',
        f'{broken}: line 2, column 1: the key "a" stands twice in this object',
        f"{missing}: cannot be read: No such file or directory",
    ]


def test_a_folder_is_no_job(tmp_path, capsys):
    assert main(["validate", str(tmp_path)]) == 65
    assert capsys.readouterr().out == f"{tmp_path}: cannot be read: Is a directory\n"


def test_a_job_may_come_from_standard_input(monkeypatch, capsys):
    text = json.dumps(changed({"spec.seed": -1})).encode()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    assert main(["validate", "-"]) == 65
    assert capsys.readouterr().out == "standard input: spec.seed: must be >= 0 (got -1)\n"


def test_an_endless_file_is_not_read_to_the_end(capsys):
    assert main(["validate", "/dev/zero"]) == 65
    assert "a job has at most 1048576" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["validate", "plan"])
def test_no_heavy_library_is_loaded(verb):
    code = (
        "import sys; from lmjob.cli import main;"
        f"code = main([{verb!r}, 'manifests/examples/two-workers.yaml']);"
        f"print('HEAVY', sorted({set(HEAVY)!r} & set(sys.modules))); sys.exit(code)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "HEAVY []"


def test_validating_loads_nothing_of_the_other_verbs():
    code = (
        "import sys; from lmjob.cli import main; main(['validate', '/dev/null']);"
        "print(sorted(n for n in sys.modules if n in ('lmjob.cli.run', 'lmjob.cli.plan', 'rich')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {verb} " in printed for verb in VERBS)


def test_without_a_verb_the_usage_is_shown(capsys):
    assert main([]) == USAGE
    assert "usage: lmjob VERB" in capsys.readouterr().err


def test_a_slip_in_the_verb_is_told(capsys):
    assert main(["vaildate", "x"]) == USAGE
    assert "lmjob: no verb 'vaildate'; did you mean validate?" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lmjob {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_module_that_says_how_it_is_used(verb, capsys):
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"usage: lmjob {verb}" in capsys.readouterr().out


def test_a_reader_that_leaves_is_no_crash():
    files = ["manifests/examples/two-workers.yaml"] * 2000
    command = [Path(sys.executable).with_name("lmjob"), "validate", *files]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 1
