"""The status document and the events: what people and programs are told."""

from __future__ import annotations

import dataclasses

import pytest

from lmjob.core.events import events
from lmjob.core.fault import Fault
from lmjob.core.memory import Memory, ended, failing, in_group, in_stage, next_attempt
from lmjob.core.observed import Observed, Obstacle
from lmjob.core.report import report, stalled
from lmjob.core.words import duration_words, timestamp
from lmtrainer.contract.reports import Position, Progress

NOW = 1_700_000_000.0
DURABLE = Position(phase_index=0, step=40, phase="main")
FAULT = Fault(reason="RankKilled", replica="worker-0", rank=1, message="killed by signal 9")
RUNNING = Memory(attempt=1, stage="train", group="formed", started_at=NOW)
NAMES = ("master-0", "worker-0", "worker-1")


def conditions(status) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def kstatus(status) -> str:
    """As cli-utils' kstatus reads the conditions of an object."""
    found = conditions(status)
    if found["Stalled"][0] == "True":
        return "Failed"
    if found["Reconciling"][0] == "True" or found["Ready"][0] != "True":
        return "InProgress"
    return "Current"


@pytest.mark.parametrize(
    ("memory", "ready", "reason", "read_as"),
    [
        (Memory(), False, "Pending", "InProgress"),
        (in_group(RUNNING, "gated", NOW), False, "MasterStarting", "InProgress"),
        (in_group(RUNNING, "gated", NOW), True, "WorkersStarting", "InProgress"),
        (RUNNING, True, "Running", "Current"),
        (failing(RUNNING, FAULT, NOW), False, "Restarting", "InProgress"),
        (in_group(RUNNING, "suspending", NOW), False, "Suspending", "InProgress"),
        (ended(RUNNING, "suspended", "Suspended", NOW), False, "Suspended", "Current"),
        (ended(RUNNING, "complete", "AllStagesDone", NOW), False, "Finished", "Current"),
        (
            ended(failing(RUNNING, FAULT, NOW), "failed", "UserError", NOW),
            False,
            "UserError",
            "Failed",
        ),
    ],
)
def test_conditions_tell_each_state_in_the_words_of_kubernetes(
    plan_of, replica, memory, ready, reason, read_as
):
    names = NAMES[:1] if memory.group == "gated" else NAMES
    seen = Observed(replicas=tuple(replica(n, "ready") for n in names) if ready else ())
    status = report(plan_of(), memory, seen, NOW)
    found = conditions(status)
    assert found["Ready"][1] == found["Reconciling"][1] == found["Stalled"][1] == reason
    assert kstatus(status) == read_as
    assert found["MasterReady"][0] == str(ready)
    for outcome in ("complete", "failed", "suspended"):
        assert found[outcome.capitalize()][0] == str(memory.outcome == outcome)


def test_workers_are_released_only_behind_an_open_gate(plan_of, replica):
    seen = Observed(replicas=(replica("master-0", "ready"),))
    closed = conditions(report(plan_of(), in_group(RUNNING, "gated", NOW), Observed(), NOW))
    assert closed["WorkersReleased"] == ("False", "WaitingForMaster")
    states = {"gated": "True", "formed": "True", "failing": "False"}
    for group, status in states.items():
        found = conditions(report(plan_of(), in_group(RUNNING, group, NOW), seen, NOW))
        assert found["WorkersReleased"][0] == status
    alone = conditions(report(plan_of(workers=0), RUNNING, seen, NOW))
    assert alone["WorkersReleased"] == ("False", "NoWorkers")


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        (
            {"stuck": "Unschedulable", "reason": "0/2 nodes are available"},
            "Unschedulable",
            "worker-0: 0/2 nodes are available",
        ),
        ({}, "WorkersStarting", "not all 3 nodes have said yet that they are ready"),
    ],
)
def test_what_a_group_waits_for_is_the_reason_that_it_is_not_ready(
    plan_of, replica, changes, reason, message
):
    ready = replica("master-0", "ready")
    seen = Observed(replicas=(ready, replica("worker-0", "pending", **changes)))
    status = report(plan_of(), in_group(RUNNING, "gated", NOW), seen, NOW)
    ready_condition = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert (ready_condition["status"], ready_condition["reason"]) == ("False", reason)
    assert ready_condition["message"] == message
    assert kstatus(status) == "InProgress"


def test_an_obstacle_is_told_before_anything_exists(plan_of):
    obstacle = Obstacle("VolumeNotFound", "there is no volume claim results")
    status = report(plan_of(), Memory(), Observed(obstacle=obstacle), NOW)
    assert conditions(status)["Ready"] == ("False", "VolumeNotFound")


def test_a_job_that_nothing_can_be_done_for_is_stalled(plan_of):
    status = stalled("InvalidSpec", "spec.model: required", NOW)
    assert conditions(status)["Stalled"] == ("True", "InvalidSpec")
    assert kstatus(status) == "Failed"
    assert stalled("InvalidSpec", "spec.model: required", NOW + 9, status) == status
    running = report(plan_of(), RUNNING, Observed(), NOW)
    later = stalled("OperatorError", "it broke", NOW, running)
    assert conditions(later)["Complete"] == conditions(running)["Complete"]
    assert conditions(later)["Ready"] == ("False", "OperatorError")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, None), (0.4, "0s"), (59.4, "59s"), (60, "1m"), (200, "3m20s"), (7500, "2h5m")],
)
def test_a_duration_is_said_in_two_units(seconds, words):
    assert duration_words(seconds) == words


def test_a_transition_time_moves_only_when_the_status_does(plan_of):
    first = report(plan_of(), Memory(), Observed(), NOW)
    second = report(plan_of(), RUNNING, Observed(), NOW + 60, first)
    times = {c["type"]: c["lastTransitionTime"] for c in second["conditions"]}
    assert times["Ready"] == times["Reconciling"] == timestamp(NOW + 60)
    assert times["Complete"] == times["Failed"] == timestamp(NOW)
    third = report(plan_of(), RUNNING, Observed(), NOW + 90, second)
    assert third == second, "an idle job changes nothing"


def test_progress_tells_where_the_training_is(plan_of):
    progress = Progress(
        attempt=1,
        stage="train",
        activity="phase main",
        done=55,
        total=100,
        position=Position(phase_index=0, step=55, phase="main"),
        loss=4.5000012,
        tokens_per_second=1234.5,
        eta_seconds=61.0,
        durable=DURABLE,
    )
    status = report(plan_of(), RUNNING, Observed(progress=progress), NOW)
    assert status["progress"] == {
        "activity": "phase main",
        "unit": "steps",
        "done": 55,
        "total": 100,
        "phase": "main",
        "step": 55,
        "loss": 4.5,
        "tokensPerSecond": 1234.5,
        "etaSeconds": 61.0,
        "eta": "1m1s",
        "durable": {"phase": "main", "step": 40},
    }
    silent = report(plan_of(), RUNNING, Observed(), NOW + 1, status)
    assert silent["progress"]["step"] == 55, "the last word stays while nobody tells more"
    trained = dataclasses.replace(RUNNING, durable=Position(phase_index=0, step=100, phase="main"))
    later = report(plan_of(), in_stage(trained, "evaluate", NOW), Observed(), NOW, status)
    assert later["progress"] == {
        "phase": "main",
        "step": 100,
        "loss": 4.5,
        "durable": {"phase": "main", "step": 100},
    }, "what the training came to stays"


def test_a_fault_and_its_price_are_told(plan_of):
    memory = dataclasses.replace(RUNNING, last_fault=FAULT, restarts=1, lost_steps=15, attempt=2)
    status = report(plan_of(), memory, Observed(), NOW)
    assert (status["attempt"], status["restarts"], status["lostSteps"]) == (2, 1, 15)
    assert status["lastFault"]["reason"] == "RankKilled"
    assert status["lastFault"]["replica"] == "worker-0"


def test_times_of_a_job_are_told_as_kubernetes_writes_them(plan_of):
    done = ended(RUNNING, "complete", "AllStagesDone", NOW + 86_400)
    status = report(plan_of(), done, Observed(), NOW)
    assert status["startTime"] == "2023-11-14T22:13:20Z"
    assert status["completionTime"] == "2023-11-15T22:13:20Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (4_102_444_799.9, "2099-12-31T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ],
)
def test_a_time_is_rfc_3339(seconds, text):
    assert timestamp(seconds) == text


def told(plan, before, after) -> list[tuple[str, str]]:
    return [(event.reason, event.message) for event in events(plan, before, after)]


def test_each_claim_that_means_something_is_told_once(plan_of):
    plan = plan_of()
    first = dataclasses.replace(next_attempt(Memory(), NOW), stage="train")
    assert told(plan, Memory(), first)[0][0] == "AttemptStarted"
    formed = in_group(first, "formed", NOW)
    assert told(plan, first, formed) == [("GroupFormed", "all 3 nodes are ready")]
    assert told(plan, formed, dataclasses.replace(formed, durable=DURABLE)) == []
    done = in_stage(formed, "evaluate", NOW)
    assert told(plan, formed, done) == [("StageStarted", "train is done; evaluate starts")]
    complete = ended(done, "complete", "AllStagesDone", NOW)
    assert told(plan, done, complete) == [("Complete", "all stages are done")]


def test_a_restart_tells_the_cause_and_from_where_it_goes_on(plan_of):
    before = failing(RUNNING, FAULT, NOW)
    words = "worker-0 rank 1: killed by signal 9"
    assert told(plan_of(), RUNNING, before) == [("AttemptFailed", f"{words}; ending attempt 1")]
    after = next_attempt(dataclasses.replace(before, durable=DURABLE), NOW)
    assert told(plan_of(), before, after) == [
        ("AttemptStarted", f"attempt 2: {words}; going on with train from phase main step 40")
    ]


def test_a_failure_tells_why_there_is_no_other_attempt(plan_of):
    before = failing(RUNNING, FAULT, NOW)
    [(reason, message)] = told(plan_of(), before, ended(before, "failed", "UserError", NOW))
    assert reason == "Failed"
    assert "killed by signal 9" in message
    assert "would fail again" in message
