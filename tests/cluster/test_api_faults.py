"""What the operator hears is lost, told twice or wrong, and what it writes is refused: the job
comes to the same end, and no rule is broken at any revision."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from lmjob.api.names import replica_name
from lmtrainer.contract.exits import ExitType
from tests.cluster.harness.doors import Events
from tests.cluster.harness.history import uid
from tests.cluster.harness.jobs import job
from tests.cluster.harness.scripts import Script, play

FAILS = play({("worker", 1, 1): Script(exit_type=ExitType.FAILED, runs=0.1)})


def nothing_of_pods(event: Any) -> Iterable[Any]:
    return () if event["object"].get("kind") == "Pod" else (event,)


def nothing_at_all(event: Any) -> Iterable[Any]:
    return ()


def twice(event: Any) -> Iterable[Any]:
    return event, event


def every(number: int, instead: Callable[[Any], Iterable[Any]]) -> Events:
    """Every so many events, something else than the event."""
    count = itertools.count(1)
    return lambda event: instead(event) if next(count) % number == 0 else (event,)


def error(code: int) -> Callable[[Any], Iterable[Any]]:
    """The end of a watch with an error."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    reason = "Expired" if code == 410 else "InternalError"
    return lambda event: [{"type": "ERROR", "object": {**status, "reason": reason}}]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(nothing_at_all, id="no event at all"),
        pytest.param(nothing_of_pods, id="no event of a pod"),
        pytest.param(every(2, lambda event: ()), id="every second event is lost"),
        pytest.param(twice, id="every event twice"),
        pytest.param(every(5, error(410)), id="the watch is too old now and then"),
        pytest.param(every(5, error(500)), id="the watch fails now and then"),
    ],
)
def test_a_job_recovers_and_completes_whatever_the_watch_tells(
    stage: Any, nursery: Any, events: Events
) -> None:
    scene = stage(nursery, FAILS, LMJOB_RESYNC_SECONDS="1")
    scene.door.faults.events = events
    scene.operator.start()
    scene.submit(job())
    done = scene.wait_for("Complete", seconds=60)
    assert (done["status"]["attempt"], done["status"]["restarts"]) == (2, 1)
    scene.judge(f"watch: {events}")


def test_a_pod_whose_deletion_nobody_told_of_is_missed_within_a_resync(
    stage: Any, nursery: Any
) -> None:
    group = [("master", 0, 1), *(("worker", index, 1) for index in range(3))]
    scene = stage(nursery, play({part: Script(runs=None) for part in group}))
    scene.operator.start()
    made = uid(scene.submit(job()))
    scene.wait_for_reason("WorkersReleased")
    time.sleep(1.0)
    scene.door.faults.events = nothing_of_pods
    name = replica_name("job", made, 1, "worker", 2)
    scene.lab.api.delete("pods", scene.namespace, name, gracePeriodSeconds=0)
    done = scene.wait_for("Complete", seconds=45)
    assert done["status"]["attempt"] == 2
    scene.judge("a deletion that nobody told of")


@pytest.mark.parametrize("status", [409, 404, 403, 429, 500, 503])
def test_a_job_completes_although_every_third_write_is_refused(
    stage: Any, nursery: Any, status: int
) -> None:
    scene = stage(nursery, FAILS)
    scene.door.faults.answers = {number: status for number in range(1, 90, 3)}
    scene.operator.start()
    scene.submit(job())
    done = scene.wait_for("Complete", seconds=90)
    assert (done["status"]["attempt"], done["status"]["restarts"]) == (2, 1)
    scene.judge(f"every third write answered with {status}")


@pytest.mark.parametrize("how", ["refuses", "hangs"])
@pytest.mark.parametrize("down", [3.0, pytest.param(30.0, marks=pytest.mark.slow)])
def test_no_pod_is_restarted_because_the_api_server_was_away(
    stage: Any, nursery: Any, down: float, how: str
) -> None:
    group = [("master", 0, 1), *(("worker", index, 1) for index in range(3))]
    scene = stage(nursery, play({part: Script(runs=down + 2.0) for part in group}))
    scene.operator.start()
    scene.submit(job())
    scene.wait_for_reason("WorkersReleased")
    away, back = {
        "refuses": (scene.door.shut, scene.door.open),
        "hangs": (scene.door.hang, scene.door.flow),
    }[how]
    scene.lab.loop.call(away())
    time.sleep(down)
    scene.lab.loop.call(back())
    done = scene.wait_for("Complete", seconds=60)
    assert (done["status"]["attempt"], done["status"]["restarts"]) == (1, 0)
    scene.judge(f"an API server that {how} for {down:g} s")
