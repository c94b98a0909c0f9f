"""Row 127: tokenizer and data, master, workers, evaluation: each stage waits for the one before,
and a failed one blocks the rest. The decision core runs in both places, so it is asked here; the
nodes are values."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from lmjob.core.decide import Wait
from lmjob.core.events import Event
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed, Replica
from lmjob.core.plan.shapes import ReplicaKey
from lmjob.core.report import Status
from lmjob.reconcile import Recalled, reconcile
from lmtrainer.contract.exits import ExitType
from tests.lmjob.conftest import make_plan, make_replica, make_success

STAGES = ("prepare", "train", "evaluate")


class Nodes:
    """A backend whose nodes are ready once they are created, and end in the next pass: those of
    stage `failing` by a user's mistake, all others well."""

    def __init__(self, failing: str | None) -> None:
        self.plan = make_plan(workers=2)
        self.failing = failing
        self.memory = Memory()
        self.status: Status = {}
        self.replicas: tuple[Replica, ...] = ()
        self.created: list[tuple[str, str]] = []
        self.stages_shown: list[str] = []

    def recall(self) -> Recalled:
        return Recalled(self.memory, self.status)

    def observe(self, memory: Memory) -> Observed:
        return Observed(replicas=self.replicas)

    def claim(self, before: Memory, after: Memory, status: Status) -> bool:
        self.memory = after
        self.report(status)
        return True

    def create(self, memory: Memory, keys: Sequence[ReplicaKey]) -> None:
        self.created += [(memory.stage, str(key)) for key in keys]
        made = (make_replica(str(key), "ready", attempt=memory.attempt) for key in keys)
        self.replicas = (*self.replicas, *made)

    def delete(self, uids: Sequence[str], grace_seconds: float) -> None:
        self.replicas = tuple(r for r in self.replicas if r.uid not in uids)

    def report(self, status: Status) -> None:
        self.status = status
        self.stages_shown.append(status["stage"])

    def tell(self, told: Sequence[Event]) -> None:
        return

    def end_leader(self) -> None:
        """Of a whole group the leader ends."""
        stage = self.plan.stage(self.memory.stage)
        ready = {replica.key for replica in self.replicas if replica.state == "ready"}
        if not {replica.key for replica in stage.replicas} <= ready:
            return
        name, attempt = str(stage.leader.key), self.memory.attempt
        if stage.name == self.failing:
            kind, why = ExitType.USER_ERROR, "the text is not there"
            ended = make_replica(name, "failed", attempt=attempt, exit_type=kind, message=why)
        else:
            ended = make_success(name, stage.name, attempt=attempt)
            ended = dataclasses.replace(ended, uid=f"{stage.name}-{ended.uid}")
        others = (r for r in self.replicas if r.key != stage.leader.key)
        self.replicas = (ended, *others)

    def run(self) -> None:
        now = 1000.0
        for _ in range(200):
            decision = reconcile(self.plan, self, now)
            if isinstance(decision, Wait):
                if self.memory.final:
                    return
                self.end_leader()
            now += 1.0
        raise AssertionError(f"not over: {self.memory}")

    def conditions(self) -> dict[str, dict[str, str]]:
        return {condition["type"]: condition for condition in self.status["conditions"]}


def test_row_127_the_stages_come_one_after_the_other() -> None:
    nodes = Nodes(failing=None)
    nodes.run()
    assert nodes.created == [
        ("prepare", "prepare-0"),
        ("train", "master-0"),
        ("train", "worker-0"),
        ("train", "worker-1"),
        ("evaluate", "evaluate-0"),
    ]
    assert tuple(dict.fromkeys(nodes.stages_shown)) == STAGES
    assert nodes.conditions()["Complete"]["status"] == "True"


@pytest.mark.parametrize("failing", STAGES)
def test_row_127_a_failed_stage_blocks_the_next_and_the_status_shows_it(failing: str) -> None:
    nodes = Nodes(failing=failing)
    nodes.run()
    begun = tuple(dict.fromkeys(stage for stage, _ in nodes.created))
    assert begun == STAGES[: STAGES.index(failing) + 1]
    assert nodes.status["stage"] == failing
    failed = nodes.conditions()["Failed"]
    assert (failed["status"], failed["reason"]) == ("True", "UserError")
    assert "the text is not there" in failed["message"]
    assert nodes.status["lastFault"]["stage"] == failing
