"""A dataset that several nodes of a job make together: the job is the same, whoever dies."""

import os
import time

import pytest

from tests.local.jobs import kill

pytestmark = pytest.mark.slow

SMALL_PARTS = """
import time
from lmtrainer.dataset import tasks
from lmtrainer.text import parts
parts.SMALLEST = 8000
real = tasks.encode
def encode(*arguments, **options):
    real(*arguments, **options)
    time.sleep(0.5)
tasks.encode = encode
"""


@pytest.fixture
def shared(job, monkeypatch):
    """The job with two nodes that prepare, of text in small parts that take a while."""
    (job.folder / "sitecustomize.py").write_text(SMALL_PARTS)
    paths = [str(job.folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    job.spec["prepare"] = {"replicas": 2}
    job.spec["data"]["processes"] = 1
    return job


def parts(job):
    return sorted(path.parent.name for path in job.output.glob("parts-*/0*/manifest.json"))


def test_a_node_that_prepares_killed_in_the_middle_costs_its_own_parts_only(
    shared, undisturbed, attempts
):
    job = shared
    process = job.start()
    deadline = time.monotonic() + 60
    while len(parts(job)) < 5:
        assert process.poll() is None, process.communicate()[0] + job.logs()
        assert time.monotonic() < deadline, job.logs()
        time.sleep(0.02)
    (place,) = job.output.glob("parts-*")
    kept = {path.stat().st_ino for path in place.glob("0*/*.tokens")}
    kill(job.pid("prepare-1"))
    text, _ = process.communicate(timeout=240)
    assert process.returncode == 0, text + job.logs()
    assert "prepare-1" in text
    memory = job.state()["memory"]
    assert memory["attempt"] == 2 and memory["outcome"] == "complete"
    assert memory["restarts"] == 0, "a part was done: the fault costs nothing"
    assert kept <= {path.stat().st_ino for path in (job.output / "dataset").iterdir()}
    assert job.weights() == undisturbed.weights()
    assert all(len(live) <= 1 for live in attempts.stop()), "two attempts were live at once"
