"""Plans and observations that the tests of the decision core share, and the clock of its queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lmjob.core.observed import Replica
from lmjob.core.plan.shapes import JobIdentity, JobPlan, ReplicaKey, ReplicaPlan, StagePlan
from lmjob.kube.schedule import Schedule
from lmtrainer.config import ResolvedRun, parse
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Completion, Failure, Position, Termination
from tests.lmjob.schedules import Clock, make

UID = "0f0e0d0c-0000-4000-8000-000000000001"
CONFIG_HASH = "c0ffee"
TARGET = Position(phase_index=0, step=100, phase="main")


def make_plan(*, workers: int = 2, stages: tuple[str, ...] = (), **changes: Any) -> JobPlan:
    """A plan of the named stages (all three if none is named) with `workers` in training."""
    names = stages or ("prepare", "train", "evaluate")
    run = {
        "data": {"train": ["corpus.txt"]},
        "model": {"type": "bert", "preset": "small"},
        "phases": [{"name": "main", "steps": 100}],
        "output": {"to": changes.pop("output", "out")},
        "configHash": CONFIG_HASH,
    }
    values: dict[str, Any] = {
        "job": JobIdentity(name="job", namespace="default", uid=UID),
        "image": "example.org/lmtrainer:test",
        "run": parse(ResolvedRun, run),
        "stages": tuple(_stage(name, workers) for name in names),
        "startup_seconds": 30.0,
        "max_restarts": 2,
        "grace_seconds": 5.0,
        "plan_hash": "beef",
    }
    return JobPlan(**{**values, **changes})


def _stage(name: Any, workers: int) -> StagePlan:
    if name != "train":
        only = ReplicaPlan(role=name, index=0, node_rank=0, processes=1)
        return StagePlan(name=name, replicas=(only,))
    master = ReplicaPlan(role="master", index=0, node_rank=0, processes=1)
    others = [
        ReplicaPlan(role="worker", index=i, node_rank=i + 1, processes=1) for i in range(workers)
    ]
    return StagePlan(name="train", replicas=(master, *others), target=TARGET)


def make_replica(name: str, state: Any, *, attempt: int = 1, **values: Any) -> Replica:
    """A replica by its name, such as "worker-0"; `exit_type` gives it a last word."""
    role, _, index = name.rpartition("-")
    exit_type: ExitType | None = values.pop("exit_type", None)
    durable = values.pop("durable", None)
    message = values.pop("message", "")
    if exit_type is not None:
        values["exit_code"] = exit_type.code
        values["termination"] = Termination(
            job_uid=UID,
            attempt=attempt,
            exit_type=exit_type.name,
            failure=Failure(message=message, rank=1) if message else None,
            durable=durable,
        )
    return Replica(
        key=ReplicaKey(role, int(index)),  # type: ignore[arg-type]
        attempt=attempt,
        uid=values.pop("uid", f"{attempt}-{name}"),
        state=state,
        **values,
    )


def make_success(name: str, stage: Any, /, *, attempt: int = 1, **changes: Any) -> Replica:
    """A leader that ended with a record; `changes` spoil the record."""
    target = TARGET if stage == "train" else None
    record: dict[str, Any] = {
        "stage": stage,
        "job_uid": UID,
        "attempt": attempt,
        "config_hash": CONFIG_HASH,
        "position": target,
        "target": target,
        "manifest_sha256": "ab" * 32,
    }
    word = Termination(
        job_uid=UID,
        attempt=attempt,
        stage=stage,
        exit_type="SUCCEEDED",
        completion=Completion(**{**record, **changes}),
        durable=target,
    )
    return make_replica(name, "succeeded", attempt=attempt, exit_code=0, termination=word)


@pytest.fixture(scope="session")
def plan_of() -> Callable[..., JobPlan]:
    return make_plan


@pytest.fixture(scope="session")
def replica() -> Callable[..., Replica]:
    return make_replica


@pytest.fixture(scope="session")
def success() -> Callable[..., Replica]:
    return make_success


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def schedule(clock: Clock) -> Schedule:
    return make(clock)
