"""Paths of one machine are right for `lmjob run` and a mistake in a cluster, all told at once."""

from __future__ import annotations

from lmjob.api.spec import parse_job
from lmjob.core.plan.places import local_paths
from tests.lmjob.bodies import changed


def test_every_path_of_one_machine_is_a_mistake_in_a_cluster():
    body = changed(
        {
            "spec.data.train": ["pvc://corpus/a.txt", "/data/b.txt"],
            "spec.data.validation": {"files": ["c.txt"]},
            "spec.data.cache": "/scratch",
            "spec.output.to": "./results/x",
        }
    )
    found = [str(mistake) for mistake in local_paths(parse_job(body).spec)]
    assert [text.split(":")[0] for text in found] == [
        "spec.data.train[1]",
        "spec.data.validation.files[0]",
        "spec.data.cache",
        "spec.output.to",
    ]
    assert all("give pvc://CLAIM/PATH" in text for text in found)


def test_volume_claims_and_samples_are_no_mistake():
    assert not list(local_paths(parse_job(changed({})).spec))
