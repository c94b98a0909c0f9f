"""What a listing may change of what is known of a job's pods."""

from __future__ import annotations

from lmjob.core.observed import Replica, ReplicaState
from lmjob.core.plan.shapes import ReplicaKey
from lmjob.kube.observe import Sighting
from lmjob.kube.view import View


def seen(uid: str, state: ReplicaState) -> Sighting:
    replica = Replica(key=ReplicaKey("worker", 0), attempt=1, uid=uid, state=state)
    return Sighting("u-1", replica, None)


def view_of(*found: Sighting) -> View:
    body = {"metadata": {"name": "job", "namespace": "team", "uid": "u-1", "managedFields": [{}]}}
    return View("team/job", body, sightings={s.replica.uid: s for s in found})


def states(view: View) -> dict[str, str]:
    return {uid: s.replica.state for uid, s in view.sightings.items()}


def test_a_listing_brings_what_no_watch_told() -> None:
    view = view_of(seen("a", "starting"), seen("b", "ready"))
    view.take_pods(dict(view.sightings), {"a": seen("a", "ready"), "c": seen("c", "pending")})
    assert states(view) == {"a": "ready", "c": "pending"}


def test_a_listing_undoes_nothing_that_a_watch_told_while_it_was_on_its_way() -> None:
    view = view_of(seen("a", "starting"), seen("b", "ready"))
    asked = dict(view.sightings)
    view.sightings["a"] = seen("a", "ready")
    del view.sightings["b"]
    view.sightings["c"] = seen("c", "pending")
    view.take_pods(asked, {"a": seen("a", "starting"), "b": seen("b", "ready")})
    assert states(view) == {"a": "ready", "c": "pending"}


def test_the_half_of_an_object_that_nobody_reads_is_not_kept() -> None:
    assert "managedFields" not in view_of().body["metadata"]
