"""Fixtures of the tests that run real jobs on this machine."""

from pathlib import Path

import pytest

from tests.local.jobs import DOCUMENTS, Attempts, Job
from tests.local.oldkits import Place
from tests.runs import jargon


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "jargon.txt").write_text(jargon(DOCUMENTS))
    return folder


@pytest.fixture
def job(tmp_path, corpus) -> Job:
    (tmp_path / "corpus").symlink_to(corpus)
    (tmp_path / "results").mkdir()
    return Job(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, corpus) -> Job:
    """The job run once without any fault: what all others are compared with."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "corpus").symlink_to(corpus)
    (folder / "results").mkdir()
    job = Job(folder)
    job.output_text = job.run()
    return job


@pytest.fixture
def attempts(job):
    watch = Attempts(job.output)
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
