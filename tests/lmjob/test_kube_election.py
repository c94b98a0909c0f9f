"""Who may take a lease: by our own clock since the record last changed, never by its times."""

from __future__ import annotations

from typing import Any

import pytest

from lmjob.kube.election import LeaseSettings, next_look, released, sight, taken

ME = LeaseSettings(namespace="ns", name="op", identity="me", seconds=15)
OTHER = LeaseSettings(namespace="ns", name="op", identity="other", seconds=15)


def stored(lease: dict[str, Any], version: int = 1) -> dict[str, Any]:
    meta = {**lease["metadata"], "uid": "u", "resourceVersion": str(version)}
    return {**lease, "metadata": meta}


def held(settings: LeaseSettings, unix: float = 0.0) -> dict[str, Any]:
    return stored(taken(settings, None, unix))


@pytest.mark.parametrize("unix", [0.0, 4_000_000_000.0], ids=["clock behind", "clock ahead"])
def test_a_foreign_lease_is_free_a_whole_lease_after_it_was_last_seen_to_change(
    unix: float,
) -> None:
    first = sight(held(OTHER, unix), None, 100.0)
    again = sight(held(OTHER, unix), first, 110.0)
    assert again.free_at(ME) == 115.0
    renewed = sight(stored(taken(OTHER, held(OTHER, unix), unix + 1)), again, 112.0)
    assert renewed.free_at(ME) == 127.0


def test_a_record_that_only_looks_touched_is_not_renewed() -> None:
    first = sight(held(OTHER), None, 100.0)
    touched = held(OTHER)
    touched["metadata"] |= {"resourceVersion": "9", "annotations": {"a": "b"}}
    assert sight(touched, first, 110.0).free_at(ME) == 115.0


def test_a_lease_that_was_made_anew_is_a_new_one() -> None:
    first = sight(held(OTHER), None, 100.0)
    new = held(OTHER)
    new["metadata"]["uid"] = "v"
    assert sight(new, first, 110.0).free_at(ME) == 125.0


def test_the_longer_of_both_durations_is_waited_for() -> None:
    patient = LeaseSettings(namespace="ns", name="op", identity="other", seconds=40)
    assert sight(held(patient), None, 100.0).free_at(ME) == 140.0
    hasty = LeaseSettings(namespace="ns", name="op", identity="other", seconds=2)
    assert sight(held(hasty), None, 100.0).free_at(ME) == 115.0


def test_a_released_lease_and_ones_own_are_free_at_once() -> None:
    assert sight(stored(released(held(OTHER), 5.0)), None, 100.0).free_at(ME) == 100.0
    assert sight(held(ME), None, 100.0).free_at(ME) == 100.0


def test_a_lease_that_people_made_without_a_word_is_free() -> None:
    bare = {"metadata": {"name": "op", "namespace": "ns", "uid": "u", "resourceVersion": "1"}}
    found = sight(bare, None, 100.0)
    assert found.free_at(ME) == 100.0
    assert taken(ME, found.lease, 1.0)["spec"]["holderIdentity"] == "me"


def test_looks_come_in_time_with_the_end_of_a_foreign_lease() -> None:
    seen = sight(held(OTHER), None, 100.0)
    assert next_look(None, ME, 100.0) == ME.look_seconds
    assert next_look(seen, ME, 100.0) == ME.look_seconds
    assert next_look(seen, ME, 114.5) == 0.5
    assert next_look(seen, ME, 116.0) == ME.look_seconds


def test_the_record_names_the_version_that_was_read_and_counts_changes_of_the_holder() -> None:
    first = held(OTHER, 1.0)
    assert first["spec"]["leaseTransitions"] == 0
    mine = taken(ME, first, 2.0)
    assert mine["metadata"] == first["metadata"]
    assert mine["spec"]["leaseTransitions"] == 1
    assert mine["spec"]["acquireTime"] == "1970-01-01T00:00:02.000000Z"
    renewed = taken(ME, stored(mine, 2), 3.5)
    assert renewed["spec"]["leaseTransitions"] == 1
    assert renewed["spec"]["acquireTime"] == mine["spec"]["acquireTime"]
    assert renewed["spec"]["renewTime"] == "1970-01-01T00:00:03.500000Z"
    assert released(stored(renewed, 3), 4.0)["spec"]["leaseTransitions"] == 1


def test_a_leader_has_stopped_before_its_lease_ends_and_a_takeover_is_under_twenty_seconds() -> (
    None
):
    assert ME.renew_deadline < ME.seconds
    assert ME.renew_seconds * 2 < ME.renew_deadline
    assert ME.look_seconds + ME.seconds < 20
    assert isinstance(held(LeaseSettings(namespace="n", name="o", identity="i", seconds=1.5)), dict)
    short = taken(LeaseSettings(namespace="n", name="o", identity="i", seconds=1.5), None, 0.0)
    assert short["spec"]["leaseDurationSeconds"] == 2
