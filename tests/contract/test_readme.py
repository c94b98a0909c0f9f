"""The README says only what works: its commands are run by CI or by a test, its jobs are valid."""

import re
from pathlib import Path

import pytest
import yaml

from lmjob.api.spec import parse_job
from lmjob.cli import VERBS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def commands():
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.strip()]


def test_every_command_of_the_readme_is_run_by_ci():
    ci = (ROOT / ".ci/run").read_text().splitlines()
    assert commands(), "the README shows how to use it"
    for command in commands():
        assert command in ci, f"{command} is not run by .ci/run"


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", README)) | {
        command.split()[1] for command in commands() if command.startswith("make ")
    }
    assert named <= targets


def test_every_verb_that_is_named_exists():
    named = set(re.findall(r"`lmjob ([a-z]+)", README))
    assert named == set(VERBS)


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "yaml"])
def test_every_job_of_the_readme_is_valid(text):
    parse_job(yaml.safe_load(text))


def test_every_path_that_is_named_exists():
    for path in re.findall(r"`((?:manifests|operator|trainer_image|tests|\.ci)/[\w./-]*)`", README):
        assert (ROOT / path).exists(), path


def test_the_images_of_the_readme_are_built_by_ci():
    built = (ROOT / ".ci/run").read_text()
    lines = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
    images = [line.removeprefix("docker ") for line in lines if line.startswith("docker ")]
    assert len(images) == 2
    for image in images:
        assert f"{image}\n" in built
