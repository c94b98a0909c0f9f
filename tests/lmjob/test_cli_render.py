"""`lmjob render`: the objects that the operator would create for a job."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmjob.api.names import DEFAULT_TRAINER_IMAGE
from lmjob.api.yamltree import read_yaml
from lmjob.cli import main
from lmjob.cli.render import as_yaml, objects
from lmtrainer.contract.exits import ExitType
from tests.lmjob.bodies import REMOVED, changed
from tests.lmjob.hostile import TEXTS, plan_of

ROOT = Path(__file__).parents[2]
EXAMPLE = "manifests/examples/two-workers.yaml"
GOLDEN = "tests/golden/two-workers.yaml"


@pytest.fixture
def render(tmp_path, capsys):
    """Runs `lmjob render` on the good job with changes; gives the objects that it printed."""

    def run(changes: dict[str, Any], *options: str) -> list[dict[str, Any]]:
        file = tmp_path / "job.json"
        file.write_text(json.dumps(changed(changes)))
        assert main(["render", *options, str(file)]) == 0
        return list(yaml.safe_load_all(capsys.readouterr().out))

    return run


def test_the_objects_of_the_example_are_those_that_were_reviewed(capsys):
    assert main(["render", str(ROOT / EXAMPLE)]) == 0
    way_out = f"if this is meant, run: lmjob render {EXAMPLE} > {GOLDEN}"
    assert capsys.readouterr().out == (ROOT / GOLDEN).read_text(), way_out


def test_config_map_service_and_the_pods_of_each_stage_are_printed_in_order(render):
    found = render({})
    assert [o["kind"] for o in found] == ["ConfigMap", "Service", *["Pod"] * 6]
    names = [o["metadata"]["name"].partition("-1-")[2] for o in found[2:]]
    assert names == ["prepare-0", "master-0", "worker-0", "worker-1", "worker-2", "evaluate-0"]


def test_the_image_is_the_jobs_own_else_the_given_else_the_operators_default(render):
    def image(changes: dict[str, Any], *options: str) -> str:
        return str(render(changes, *options)[-1]["spec"]["containers"][0]["image"])

    assert image({}, "--image", "other:1") == "example.org/lmtrainer:0.1.0"
    assert image({"spec.image": REMOVED}, "--image", "other:1") == "other:1"
    assert image({"spec.image": REMOVED}) == DEFAULT_TRAINER_IMAGE


def test_the_namespace_is_the_given_one_else_that_of_the_file(render):
    def namespaces(changes: dict[str, Any], *options: str) -> set[str]:
        return {o["metadata"]["namespace"] for o in render(changes, *options)}

    assert namespaces({}) == {"default"}
    assert namespaces({"metadata.namespace": "team-a"}) == {"team-a"}
    assert namespaces({"metadata.namespace": "team-a"}, "--namespace", "team-b") == {"team-b"}


def test_the_uid_of_a_job_that_is_in_a_cluster_is_kept(render):
    (owner,) = render({"metadata.uid": "u-9"})[0]["metadata"]["ownerReferences"]
    assert owner["uid"] == "u-9"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:40])
def test_kubectl_reads_back_what_was_rendered(text):
    for found in itertools.islice(objects(plan_of(text)), 3):  # one of each kind
        printed = as_yaml([found])
        assert printed.isascii()
        assert read_yaml(printed.removeprefix("---\n")) == found


@pytest.mark.parametrize(
    ("changes", "options", "field"),
    [
        ({"spec.workers.replicas": -1}, (), "spec.workers.replicas"),
        ({}, ("--namespace", "Team"), "metadata.namespace"),
        ({"metadata": REMOVED}, ("--namespace", "team"), "metadata"),
    ],
)
def test_a_job_with_mistakes_is_not_rendered(tmp_path, capsys, changes, options, field):
    file = tmp_path / "job.json"
    file.write_text(json.dumps(changed(changes)))
    assert main(["render", *options, str(file)]) == ExitType.USER_ERROR.code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.split(": ")[1] for line in printed.err.splitlines()] == [field]


def test_a_file_that_is_missing_is_named(capsys):
    assert main(["render", "missing.yaml"]) == ExitType.USER_ERROR.code
    assert "missing.yaml: cannot be read" in capsys.readouterr().err
