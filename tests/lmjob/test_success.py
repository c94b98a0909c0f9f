"""A stage is done when its leader proves it."""

from __future__ import annotations

import dataclasses

import pytest

from lmjob.core.decide import Act, Claim, Wait, decide
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed
from lmjob.core.report import report
from lmtrainer.contract.reports import Position

NOW = 1000.0
END = Position(phase_index=0, step=100, phase="main")
"""Of training, in the plans of these tests."""


def memory(stage: str = "train", **changes) -> Memory:
    return Memory(**{"attempt": 1, "stage": stage, "group": "formed", "noted_at": NOW, **changes})


def claimed(plan, before, *replicas) -> Memory:
    decision = decide(plan, before, Observed(replicas=replicas), NOW)
    assert isinstance(decision, Claim), decision
    return decision.memory


def test_a_proven_stage_is_followed_by_the_next_in_the_same_attempt(plan_of, success):
    found = claimed(
        plan_of(), memory("prepare", attempt=3), success("prepare-0", "prepare", attempt=3)
    )
    assert (found.stage, found.group, found.attempt, found.outcome) == ("train", "gated", 3, None)


def test_where_training_ended_is_known_to_the_stages_after_it(plan_of, success):
    before = memory(durable=Position(phase_index=0, step=20, phase="main"))
    found = claimed(plan_of(), before, success("master-0", "train"))
    assert found.durable == END
    told = report(plan_of(), found, Observed(), NOW, {"stage": "train", "progress": {"step": 20}})
    assert told["progress"]["step"] == END.step


def test_the_last_proven_stage_completes_the_job(plan_of, success):
    found = claimed(plan_of(), memory("evaluate"), success("evaluate-0", "evaluate"))
    assert (found.outcome, found.outcome_reason) == ("complete", "AllStagesDone")
    assert found.finished_at == NOW


@pytest.mark.parametrize("group", ["gated", "released", "formed", "failing", "suspending"])
def test_proof_counts_in_every_state_of_the_group(plan_of, success, replica, group):
    echo = replica("worker-0", "failed", exit_code=72)
    found = claimed(plan_of(), memory(group=group), success("master-0", "train"), echo)
    assert found.stage == "evaluate"


@pytest.mark.parametrize(
    ("spoiled", "word"),
    [
        ({"manifest_sha256": ""}, "proves no success"),
        ({"position": Position(phase_index=0, step=99, phase="main")}, "proves no success"),
        ({"stage": "prepare"}, "stage is prepare"),
        ({"config_hash": "other"}, "configuration is another"),
        ({"job_uid": "other"}, "job is another"),
        (
            dict.fromkeys(("position", "target"), Position(phase_index=0, step=7, phase="main")),
            "ends at",
        ),
    ],
)
def test_exit_code_0_with_a_flawed_record_is_a_fault(plan_of, success, spoiled, word):
    found = claimed(plan_of(), memory(), success("master-0", "train", **spoiled))
    assert (found.group, found.stage) == ("failing", "train")
    assert found.last_fault.reason == "NoCompletionRecord"
    assert word in found.last_fault.message


def test_a_record_of_a_leader_that_failed_afterwards_proves_nothing(plan_of, success):
    record = success("master-0", "train")
    killed = dataclasses.replace(record, state="failed", exit_code=-9)
    found = claimed(plan_of(), memory(), killed)
    assert (found.group, found.stage) == ("failing", "train")
    assert found.last_fault.reason == "RankKilled", "its word of success is not why it ended"


def test_exit_code_0_without_a_record_is_a_fault(plan_of, replica):
    found = claimed(plan_of(), memory(), replica("master-0", "succeeded", exit_code=0))
    assert found.last_fault.reason == "NoCompletionRecord"


def test_a_target_that_only_the_data_knows_is_taken_from_the_record(plan_of, success):
    plan = plan_of()
    stages = tuple(dataclasses.replace(stage, target=None) for stage in plan.stages)
    plan = dataclasses.replace(plan, stages=stages)
    other = dict.fromkeys(("position", "target"), Position(phase_index=0, step=7, phase="main"))
    assert claimed(plan, memory(), success("master-0", "train", **other)).stage == "evaluate"


def test_a_workers_record_proves_nothing(plan_of, success, replica):
    seen = Observed(
        replicas=(
            replica("master-0", "ready"),
            success("worker-0", "train"),
            replica("worker-1", "ready"),
        )
    )
    assert decide(plan_of(), memory(), seen, NOW) == Wait("Running")


def test_what_is_left_of_a_stage_is_ended_before_the_next_is_created(plan_of, replica):
    left = replica("worker-0", "ready")
    before = memory("evaluate", group="gated", group_since=NOW)
    seen = Observed(replicas=(left,))
    assert decide(plan_of(), before, seen, NOW) == Act(delete=(left.uid,), grace_seconds=5.0)
    ending = Observed(replicas=(replica("worker-0", "terminating"),))
    assert decide(plan_of(), before, ending, NOW) == Wait("GroupEnding")


@pytest.mark.parametrize("outcome", ["complete", "failed"])
def test_terminal_is_left_by_nothing_but_leftovers_are_ended(plan_of, replica, outcome):
    before = memory(outcome=outcome, group="gated")
    live = replica("worker-0", "ready")
    seen = Observed(replicas=(live,), suspend=True)
    assert decide(plan_of(), before, seen, NOW) == Act(delete=(live.uid,), grace_seconds=5.0)
    assert decide(plan_of(), before, Observed(), NOW + 1e9) == Wait("Finished")
