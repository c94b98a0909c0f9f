"""The command line: answers at once, and says what is missing."""

import os
import subprocess
import sys

import pytest

from lmtrainer import __version__
from lmtrainer.contract.environment import NodeEnvironment, to_env


def lmtrainer(*arguments, **env):
    command = [sys.executable, "-P", "-m", "lmtrainer", *arguments]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)


def test_version_and_help_answer_without_loading_torch():
    assert lmtrainer("--version").stdout == f"lmtrainer {__version__}\n"
    assert "launch" in lmtrainer("--help").stdout
    code = "import lmtrainer.cli as c, sys; c.build_parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("arguments", [[], ["launch"], ["launch", "--stage", "deploy"]])
def test_a_wrong_command_line_is_explained(arguments):
    done = lmtrainer(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_a_launcher_without_its_environment_names_the_variable():
    done = lmtrainer("launch", "--stage", "train", "--config", "run.json")
    assert done.returncode == 65
    assert "NNODES: must be set; start nodes through" in done.stderr


def test_a_launcher_carries_its_exit_type_as_exit_code(tmp_path):
    node = NodeEnvironment(
        job_uid="a",
        attempt=1,
        status_port=0,
        node_dir=str(tmp_path),
        termination_log=str(tmp_path / "termination"),
    )
    config = str(tmp_path / "nowhere.json")
    done = lmtrainer("launch", "--stage", "train", "--config", config, **to_env(node))
    assert done.returncode == 65
    assert "nowhere.json cannot be read" in done.stderr
    assert "USER_ERROR" in (tmp_path / "termination").read_text()


def test_a_rank_is_not_started_by_hand():
    done = lmtrainer("rank", "--stage", "train", "--config", "run.json")
    assert done.returncode == 1
    assert "started by lmtrainer launch only" in done.stderr
