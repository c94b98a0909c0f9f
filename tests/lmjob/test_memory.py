"""The memory survives being stored, and so does the plan it is about."""

from __future__ import annotations

import json

from lmjob.core.fault import MAX_MESSAGE, Fault, plain
from lmjob.core.memory import Memory, ended, failing, in_stage, next_attempt
from lmjob.core.plan.shapes import JobPlan
from lmtrainer.config import document, parse
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Position

FULL = Memory(
    attempt=3,
    stage="train",
    group="failing",
    restarts=2,
    retry_at=12.5,
    outcome="failed",
    outcome_reason="RestartBudgetSpent",
    last_fault=Fault(reason="RankKilled", replica="worker-0", rank=1, message="x", at=3.5),
    durable=Position(phase_index=1, step=80, phase="long"),
    durable_at_fault=Position(phase_index=0, step=8, phase="short"),
    kept_at_fault=1 << 40,
    lost_steps=17,
    finished_at=99.0,
)


def stored(value):
    return parse(type(value), json.loads(json.dumps(document(value), allow_nan=False)))


def test_a_memory_reads_back_equal():
    assert stored(FULL) == FULL
    assert stored(Memory()) == Memory()


def test_a_plan_reads_back_equal(plan_of):
    plan = plan_of()
    assert stored(plan) == plan
    assert isinstance(plan, JobPlan)


def test_any_message_of_a_trainer_can_be_stored():
    nasty = "a\x00b\ud800c\u2028d\x1b[31m\n" + "x" * 9999
    fault = Fault(reason="RankFailed", message=plain(nasty))
    assert len(fault.message) <= MAX_MESSAGE + 3
    assert stored(fault) == fault


def test_a_new_attempt_forgets_an_outcome_but_no_budget():
    found = next_attempt(ended(FULL, "suspended", "Suspended", 5.0), 7.0)
    assert (found.attempt, found.restarts, found.lost_steps) == (4, 2, 17)
    assert (found.outcome, found.outcome_reason, found.finished_at) == (None, None, None)
    assert (found.group, found.retry_at, found.attempt_started_at) == ("gated", 0.0, 7.0)


def test_a_job_began_with_its_first_attempt():
    first = next_attempt(Memory(), 5.0)
    assert next_attempt(first, 9.0).started_at == 5.0


def test_a_new_stage_keeps_the_attempt_and_closes_the_gate():
    found = in_stage(Memory(attempt=2, stage="prepare", group="formed"), "train", 8.0)
    assert (found.attempt, found.stage, found.group) == (2, "train", "gated")
    assert (found.stage_started_at, found.group_since) == (8.0, 8.0)


def test_a_fault_carries_the_exit_code_of_the_command():
    fault = Fault(reason="UserError", exit_type="USER_ERROR")
    assert failing(Memory(), fault, 0.0).last_fault.exit is ExitType.USER_ERROR
    assert Fault(reason="RankFailed", exit_type="OfANewerTrainer").exit is ExitType.FAILED
