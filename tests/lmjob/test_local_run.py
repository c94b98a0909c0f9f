"""Whole jobs of fake nodes on this machine: real processes, real signals, no training."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lmjob.core.memory import Memory
from lmjob.core.plan.shapes import JobPlan, ReplicaPlan, StagePlan
from lmjob.core.policy import startup
from lmjob.local import procs
from lmjob.local.job import open_job
from lmjob.local.run import run_job
from lmjob.local.store import StateError, locked
from lmtrainer.config import document

HERE = Path(__file__).parent
PROGRAM = (sys.executable, str(HERE / "fake_launcher.py"))
RUNNER = (sys.executable, str(HERE / "run_fake_job.py"))

Fakes = dict[str, dict[str, Any]]


class Job:
    """A job in a folder of its own, and what its nodes wrote into the journal."""

    def __init__(self, folder: Path, plan: JobPlan, fakes: Fakes) -> None:
        self.folder = folder
        self.output = folder / "out"
        self.output.mkdir()
        self.plan = dataclasses.replace(
            plan, stages=tuple(self._stage(stage, fakes) for stage in plan.stages)
        )
        self.runners: list[subprocess.Popen[str]] = []
        (folder / "plan.json").write_text(json.dumps(document(self.plan)))

    def _stage(self, stage: StagePlan, fakes: Fakes) -> StagePlan:
        replicas = tuple(self._replica(r, fakes) for r in stage.replicas)
        return dataclasses.replace(stage, replicas=replicas)

    def _replica(self, replica: ReplicaPlan, fakes: Fakes) -> ReplicaPlan:
        fake = {
            "folder": str(self.folder),
            "config_hash": "c0ffee",
            **fakes.get("all", {}),
            **fakes.get(str(replica.key), {}),
        }
        return dataclasses.replace(replica, env={"FAKE": json.dumps(fake)})

    def run(self) -> Memory:
        with locked(self.output):
            stored = open_job(self.output, self.plan, {})
            return run_job(self.output, stored, claims={}, program=PROGRAM)[0]

    def start(self) -> subprocess.Popen[str]:
        runner = subprocess.Popen(
            (*RUNNER, str(self.folder)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.runners.append(runner)
        return runner

    def clean_up(self) -> None:
        for runner in self.runners:
            with runner:
                runner.kill()
        for process in self.processes():
            procs.send(process, signal.SIGKILL)

    def journal(self, *events: str) -> list[dict[str, Any]]:
        path = self.folder / "journal.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        return [line for line in found if line["event"] in events] if events else found

    def wait_for(self, event: str, count: int = 1, **facts: Any) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = [x for x in self.journal(event) if facts.items() <= x.items()]
            if len(found) >= count:
                return
            time.sleep(0.02)
        raise AssertionError(f"no {event} {facts} in {self.journal()}")

    def processes(self) -> list[procs.ProcessId]:
        folders = (self.output / ".lmjob").glob("*-*-*")
        return [process for folder in folders for process in procs.of_node(folder)]


JobOf = Callable[..., Job]


@pytest.fixture
def job_of(tmp_path: Path, plan_of: Callable[..., JobPlan]) -> Iterator[JobOf]:
    jobs = []

    def make(fakes: Fakes | None = None, **plan: Any) -> Job:
        job = Job(tmp_path, plan_of(**{"stages": ("train",), **plan}), fakes or {})
        jobs.append(job)
        return job

    yield make
    for job in jobs:
        job.clean_up()


def assert_one_live_attempt(job: Job) -> None:
    """No process of an attempt started while one of another attempt lived, and none is left."""
    starts = job.journal("start")
    assert starts
    assert [line["others"] for line in starts] == [[]] * len(starts)
    assert job.processes() == []


def test_a_job_runs_its_stages_in_order_to_the_end(job_of: JobOf) -> None:
    job = job_of(stages=("prepare", "train", "evaluate"))
    memory = job.run()
    assert (memory.outcome, memory.attempt, memory.restarts) == ("complete", 1, 0)
    starts = [(line["stage"], line["rank"]) for line in job.journal("start")]
    assert starts[:2] == [("prepare", 0), ("train", 0)]
    assert sorted(starts[2:4]) == [("train", 1), ("train", 2)]
    assert starts[4:] == [("evaluate", 0)]
    assert_one_live_attempt(job)


def test_a_finished_job_is_not_started_again(job_of: JobOf) -> None:
    job = job_of(stages=("prepare",))
    job.run()
    before = job.journal()
    began = time.monotonic()
    assert job.run().outcome == "complete"
    assert time.monotonic() - began < 1
    assert job.journal() == before


def master_to_worker_seconds(job: Job) -> float:
    starts = {line["rank"]: line["at"] for line in job.journal("start")}
    return float(min(starts[1], starts[2]) - starts[0])


def test_no_worker_starts_before_a_held_back_master_is_ready(job_of: JobOf) -> None:
    job = job_of({"master-0": {"ready_after": 1.5}})
    assert job.run().outcome == "complete"
    assert master_to_worker_seconds(job) >= 1.5


@pytest.mark.slow
def test_no_worker_starts_before_a_master_that_is_held_back_20_seconds(job_of: JobOf) -> None:
    job = job_of({"master-0": {"ready_after": 20}}, startup_seconds=60.0)
    assert job.run().outcome == "complete"
    assert master_to_worker_seconds(job) >= 20


def test_a_gate_that_opens_for_a_running_master_starts_workers_early(
    job_of: JobOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measure of the two tests above bites."""
    monkeypatch.setattr(startup, "has_started", lambda r: r is not None and r.live)
    job = job_of({"master-0": {"ready_after": 1.5}})
    job.run()
    assert master_to_worker_seconds(job) < 1.5


def test_a_master_that_never_gets_ready_fails_the_job_and_starts_no_worker(job_of: JobOf) -> None:
    job = job_of({"master-0": {"ready_after": 60}}, startup_seconds=0.5, max_restarts=0)
    memory = job.run()
    assert memory.outcome == "failed"
    assert memory.last_fault is not None
    assert memory.last_fault.reason == "StartupTimeout"
    assert {line["rank"] for line in job.journal("start")} == {0}


@pytest.mark.parametrize("victim", ["worker-1", "master-0"])
def test_a_killed_node_ends_and_restarts_the_whole_group(job_of: JobOf, victim: str) -> None:
    fault = {"faults": {"1": {"at": 3, "exit": "kill"}}}
    job = job_of({"all": {"every": 2, "steps": 40}, victim: fault})
    memory = job.run()
    assert (memory.outcome, memory.attempt, memory.restarts) == ("complete", 2, 0)
    assert memory.last_fault is not None
    assert (memory.last_fault.replica, memory.last_fault.reason) == (victim, "RankKilled")
    assert sorted(line["rank"] for line in job.journal("start") if line["attempt"] == 2) == [
        0,
        1,
        2,
    ]
    assert_one_live_attempt(job)


def test_a_rank_that_outlives_its_launcher_is_ended_before_the_next_attempt(job_of: JobOf) -> None:
    fault = {"faults": {"1": {"at": 2, "exit": "kill"}}, "orphan": True}
    job = job_of({"all": {"steps": 40}, "worker-0": fault})
    assert job.run().outcome == "complete"
    assert_one_live_attempt(job)


def test_a_fault_without_progress_is_charged_until_the_budget_is_spent(job_of: JobOf) -> None:
    always = {str(attempt): {"at": 1, "exit": "FAILED"} for attempt in range(1, 9)}
    job = job_of({"all": {"steps": 40}, "worker-0": {"faults": always}}, max_restarts=1, workers=1)
    memory = job.run()
    assert (memory.outcome, memory.attempt, memory.restarts) == ("failed", 2, 1)
    assert memory.outcome_reason == "RestartBudgetSpent"
    assert memory.last_fault is not None
    assert memory.last_fault.message == "made to fail at step 1"
    assert_one_live_attempt(job)


def test_a_users_mistake_is_not_tried_again(job_of: JobOf) -> None:
    job = job_of({"master-0": {"faults": {"1": {"at": 0, "exit": "USER_ERROR"}}}})
    memory = job.run()
    assert (memory.outcome, memory.attempt) == ("failed", 1)
    assert memory.outcome_reason == "UserError"


def test_exit_code_0_without_a_record_is_a_fault(job_of: JobOf) -> None:
    silent = {"faults": {"1": {"at": 1, "exit": "silent"}}}
    job = job_of({"master-0": silent}, workers=0)
    memory = job.run()
    assert (memory.outcome, memory.attempt) == ("complete", 2)
    assert memory.last_fault is not None
    assert memory.last_fault.reason == "NoCompletionRecord"


def test_ctrl_c_saves_and_the_same_command_goes_on(job_of: JobOf) -> None:
    job = job_of({"all": {"steps": 60, "save": 0.3, "saves": True}})
    runner = job.start()
    job.wait_for("start", 3)
    time.sleep(0.3)
    runner.send_signal(signal.SIGINT)
    text, _ = runner.communicate(timeout=20)
    assert json.loads(text.splitlines()[-1]) == {"outcome": "suspended", "attempt": 1, "signal": 2}
    assert [line["kind"] for line in job.journal("end")] == ["INTERRUPTED"] * 3
    assert job.journal("terminal's SIGINT") == []
    assert job.processes() == []
    memory = job.run()
    assert (memory.outcome, memory.attempt, memory.restarts) == ("complete", 2, 0)
    assert_one_live_attempt(job)


def test_the_third_ctrl_c_kills_a_node_that_will_not_end(job_of: JobOf) -> None:
    job = job_of({"all": {"steps": 1000, "save": 60}}, grace_seconds=60.0)
    runner = job.start()
    job.wait_for("start", 3)
    for _ in range(3):
        time.sleep(0.3)
        runner.send_signal(signal.SIGINT)
    text, _ = runner.communicate(timeout=10)
    assert "stopping" in text
    assert "still saving" in text
    assert job.processes() == []


def test_a_node_that_ignores_the_request_to_end_is_killed_after_the_grace_period(
    job_of: JobOf,
) -> None:
    job = job_of({"all": {"steps": 1000, "save": 60}}, grace_seconds=0.5)
    runner = job.start()
    job.wait_for("start", 3)
    runner.send_signal(signal.SIGTERM)
    text, _ = runner.communicate(timeout=10)
    assert json.loads(text.splitlines()[-1])["outcome"] == "suspended"
    assert job.processes() == []


@pytest.mark.parametrize("orphan", [False, True])
def test_after_a_kill_of_the_runner_the_same_job_goes_on_as_a_new_attempt(
    job_of: JobOf, orphan: bool
) -> None:
    job = job_of({"all": {"steps": 60, "every": 5, "orphan": orphan}}, max_restarts=0)
    runner = job.start()
    job.wait_for("start", 3)
    time.sleep(0.4)
    os.kill(runner.pid, signal.SIGKILL)
    runner.communicate()
    again = job.start()
    text, _ = again.communicate(timeout=30)
    assert json.loads(text.splitlines()[-1]) == {"outcome": "complete", "attempt": 2, "signal": 0}
    assert_one_live_attempt(job)


def test_two_runs_of_one_folder_exclude_each_other(job_of: JobOf) -> None:
    job = job_of()
    with locked(job.output), pytest.raises(StateError, match=rf"process {os.getpid()}\)"):
        job.run()
    assert job.run().outcome == "complete"
