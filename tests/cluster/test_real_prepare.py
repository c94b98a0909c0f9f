"""Two pods on two nodes make one dataset; one of them is deleted on the way."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from lmjob.api.names import LABEL_ROLE
from lmjob.cli.jobs import read_job
from lmjob.core.plan import Facts, plan_job
from lmtrainer.dataset import prepare
from tests.cluster.real.example import example
from tests.cluster.real.run import Run
from tests.runs import jargon

pytestmark = [pytest.mark.slow]

ALL = 10_000
"""Documents: more than there are."""
TIMES = 32
"""The sample so often: five parts of the size that they have at least."""


def apart(role):
    """Never two of a role on one node."""
    term = {
        "labelSelector": {"matchLabels": {LABEL_ROLE: role}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


@pytest.fixture
def run(machine, site):
    """The example with a larger text, which two nodes prepare."""
    folder = site.results / "text"
    folder.mkdir()
    text = jargon(ALL)
    for number in range(TIMES):
        (folder / f"{number:02d}.txt").write_text(f"Copy {number} of the text.\n\n{text}")
    job = example()
    job["metadata"]["name"] = "shared"
    job["spec"]["data"] = {"train": ["pvc://results/text/*.txt"], "processes": 1}
    job["spec"]["prepare"] = {"replicas": 2, "affinity": apart("prepare")}
    return Run(machine, site, job)


def test_two_pods_make_the_dataset_of_one_although_one_of_them_is_deleted(run, site, tmp_path):
    run.apply()
    run.wait(lambda: len(parts(run)) >= 2, 240, "parts of the dataset")
    pods = [run.pod("prepare", index) for index in range(2)]
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1", "node-2"}
    kept = {path.stat().st_ino for part in parts(run) for path in part.glob("*.tokens")}
    run.kubectl("delete", "pod", pods[1]["metadata"]["name"], "--wait=false")
    run.wait_until_complete(400)
    assert run.status()["attempt"] == 2
    dataset = run.output / "dataset"
    assert kept <= {path.stat().st_ino for path in dataset.iterdir()}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(run.document))
    alone = plan_job(read_job(str(tmp_path / "job.yaml")), uid="u-1", facts=Facts()).run
    made = prepare(alone, tmp_path / "alone", {"results": str(site.results)})
    found = (dataset / "manifest.json").read_bytes()
    assert made.manifest_sha256 == hashlib.sha256(found).hexdigest()


def parts(run):
    """Those that are whole."""
    return [path.parent for path in run.output.glob("parts-*/0*/manifest.json")]
