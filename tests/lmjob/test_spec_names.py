"""Names of children: computed, distinct, and never too long."""

import re

import pytest

from lmjob.api.names import (
    MAX_ATTEMPTS,
    MAX_JOB_NAME,
    MAX_REPLICAS,
    ROLES,
    replica_name,
    uid_hash,
)
from tests.lmjob.bodies import changed, mistakes_in

UID = "5b0a7f6e-9f0b-4a40-8a61-1c9e0b7c2d11"


def test_a_job_name_has_forty_characters_because_the_longest_child_still_fits():
    assert MAX_JOB_NAME == 40
    longest = replica_name("n" * MAX_JOB_NAME, UID, MAX_ATTEMPTS, "worker", MAX_REPLICAS - 1)
    assert len(longest) == 63


@pytest.mark.parametrize("role", ROLES)
def test_names_of_children_are_host_names(role):
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", replica_name("a-job", UID, 3, role, 0))


def test_a_namesake_made_later_has_children_with_other_names():
    names = {replica_name("job", f"uid-{n}", 1, "master", 0) for n in range(100)}
    assert len(names) == 100
    assert replica_name("job", UID, 1, "master", 0) == replica_name("job", UID, 1, "master", 0)
    assert len(uid_hash(UID)) == 5


@pytest.mark.parametrize("name", ["n" * 40, "a", "bert-base-2"])
def test_a_name_that_fits_is_accepted(name):
    assert mistakes_in(changed({"metadata.name": name})) == []


@pytest.mark.parametrize("name", ["", "-a", "a-", "1a", "a.b", "a_b", "é", "a\n", "n" * 41])
def test_a_name_that_does_not_fit_is_refused(name):
    (message,) = mistakes_in(changed({"metadata.name": name}))
    assert message.startswith("metadata.name: must be at most 40")
