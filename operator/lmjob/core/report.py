"""What is told about a job: its status document, the same from every backend.

Conditions use the words of batch/v1 (Complete, Failed, Suspended) and of kstatus (Ready,
Reconciling, Stalled). Nothing here is ever read back as truth about replicas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from lmjob.core.fault import Fault
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed, ObstacleReason, Replica, Seen, StuckReason, sort
from lmjob.core.plan.shapes import JobPlan
from lmjob.core.policy import startup
from lmjob.core.words import duration_words, fault_words, timestamp
from lmtrainer.config import document
from lmtrainer.contract.reports import Position, Progress

Status = Mapping[str, Any]

ConditionReason = Literal[
    "AllStagesDone",
    "NotDone",
    "NotFailed",
    "UserError",
    "RestartBudgetSpent",
    "Suspended",
    "NotSuspended",
    "MasterReady",
    "MasterNotReady",
    "WorkersReleased",
    "WaitingForMaster",
    "NoWorkers",
    "Finished",
    "Pending",
    "MasterStarting",
    "WorkersStarting",
    "Running",
    "Restarting",
    "Suspending",
    "InvalidSpec",
    "OperatorError",
    StuckReason,
    ObstacleReason,
]


Hindrance: TypeAlias = tuple[ConditionReason, str]
"""Reason and message."""


@dataclass(frozen=True)
class Condition:
    type: str
    holds: bool
    reason: ConditionReason
    message: str = ""


def report(
    plan: JobPlan, memory: Memory, observed: Observed, now: float, previous: Status | None = None
) -> Status:
    """The status document. A condition keeps its lastTransitionTime while its status stays."""
    seen = sort(plan, memory, observed) if memory.attempt else None
    before = previous or {}
    status: dict[str, Any] = {
        "stage": memory.stage if memory.attempt else plan.stages[0].name,
        "attempt": memory.attempt,
        "restarts": memory.restarts,
        "lostSteps": memory.lost_steps,
        "planHash": plan.plan_hash,
        "conditions": transitions(_state(plan, memory, observed, seen), now, before),
    }
    progress = _progress(memory, seen, before)
    if progress:
        status["progress"] = progress
    if memory.started_at:
        status["startTime"] = timestamp(memory.started_at)
    if memory.finished_at is not None and memory.final:
        status["completionTime"] = timestamp(memory.finished_at)
    if memory.last_fault is not None:
        status["lastFault"] = _fault(memory.last_fault)
    return status


def stalled(
    reason: Literal["InvalidSpec", "OperatorError"],
    message: str,
    now: float,
    previous: Status | None = None,
) -> Status:
    """The status of a job that nothing can be done for: all else that was told of it stays."""
    before = previous or {}
    conditions = transitions(
        (
            Condition("Ready", False, reason, message),
            Condition("Reconciling", False, reason),
            Condition("Stalled", True, reason, message),
        ),
        now,
        before,
    )
    told = {condition["type"] for condition in conditions}
    others = [c for c in before.get("conditions", ()) if c["type"] not in told]
    return {**before, "conditions": [*others, *conditions]}


def is_hindered(status: Status) -> bool:
    """Does it tell of something that somebody may have to help with?"""
    return any(c["reason"] in _HINDRANCES for c in status["conditions"] if c["type"] == "Ready")


def transitions(
    conditions: Iterable[Condition], now: float, before: Status
) -> list[dict[str, str]]:
    """Conditions as Kubernetes has them; lastTransitionTime moves with the status only."""
    old = {condition["type"]: condition for condition in before.get("conditions", ())}
    found = []
    for condition in conditions:
        status = "True" if condition.holds else "False"
        last = old.get(condition.type, {})
        same = last.get("status") == status
        found.append(
            {
                "type": condition.type,
                "status": status,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": last["lastTransitionTime"] if same else timestamp(now),
            }
        )
    return found


def _state(
    plan: JobPlan, memory: Memory, observed: Observed, seen: Seen | None
) -> Iterator[Condition]:
    yield from _outcome(memory)
    yield from _group(plan, memory, seen)
    yield from _kstatus(memory, seen, _hindrance(memory, observed, seen))


def _outcome(memory: Memory) -> Iterator[Condition]:
    complete, failed, suspended = (
        memory.outcome == word for word in ("complete", "failed", "suspended")
    )
    yield Condition("Complete", complete, "AllStagesDone" if complete else "NotDone")
    yield Condition("Failed", failed, *_failure(memory))
    yield Condition("Suspended", suspended, "Suspended" if suspended else "NotSuspended")


def _failure(memory: Memory) -> tuple[ConditionReason, str]:
    if memory.outcome != "failed":
        return "NotFailed", ""
    cause = fault_words(memory.last_fault) if memory.last_fault else ""
    spent = memory.outcome_reason == "RestartBudgetSpent"
    return ("RestartBudgetSpent" if spent else "UserError"), cause


def _group(plan: JobPlan, memory: Memory, seen: Seen | None) -> Iterator[Condition]:
    ready = seen is not None and startup.has_started(seen.leader)
    yield Condition("MasterReady", ready, "MasterReady" if ready else "MasterNotReady")
    workers = seen is not None and bool(seen.stage.followers)
    released = (
        seen is not None
        and workers
        and startup.released(seen)
        and not memory.ending
        and not memory.outcome
    )
    waiting: ConditionReason = "WaitingForMaster" if workers else "NoWorkers"
    yield Condition("WorkersReleased", released, "WorkersReleased" if released else waiting)


def _kstatus(memory: Memory, seen: Seen | None, hindrance: Hindrance | None) -> Iterator[Condition]:
    """Ready as `kubectl wait` and Flux read a batch Job: running well, done or resting."""
    failed = memory.outcome == "failed"
    running = seen is not None and startup.is_running(memory, seen)
    settled = memory.outcome is not None or running
    activity = _activity(memory, seen)
    reason, message = hindrance or (activity, _failure(memory)[1] or _words(activity, memory, seen))
    yield Condition("Ready", settled and not failed, reason, message)
    yield Condition("Reconciling", not settled, reason, "" if failed else message)
    yield Condition("Stalled", failed, reason, message if failed else "")


def _hindrance(memory: Memory, observed: Observed, seen: Seen | None) -> Hindrance | None:
    """What a group that has not formed is waiting for, if somebody may have to help."""
    if memory.outcome in ("complete", "failed") or memory.ending or observed.suspend:
        return None
    if observed.obstacle is not None:
        return observed.obstacle.reason, observed.obstacle.message
    stuck = next((r for r in seen.members if r.stuck), None) if seen else None
    return _stuck(stuck) if stuck is not None and memory.group == "gated" else None


def _stuck(replica: Replica) -> Hindrance | None:
    return (replica.stuck, f"{replica.key}: {replica.reason}") if replica.stuck else None


def _activity(memory: Memory, seen: Seen | None) -> ConditionReason:
    if memory.outcome is not None:
        return _failure(memory)[0] if memory.outcome == "failed" else _RESTING[memory.outcome]
    if seen is None:
        return "Pending"
    if startup.is_running(memory, seen):
        return "Running"
    if memory.group == "gated" and startup.released(seen):
        return "WorkersStarting"
    return _ACTIVITY[memory.group]


def _words(activity: ConditionReason, memory: Memory, seen: Seen | None) -> str:
    """What an activity waits for. It stays the same for all of its time: to tell it costs no write
    of the status."""
    if seen is None:
        return ""
    if activity == "MasterStarting":
        return f"{seen.stage.leader.key} has not said yet that it is ready"
    if activity == "WorkersStarting":
        return f"not all {len(seen.stage.replicas)} nodes have said yet that they are ready"
    if activity == "Restarting" and memory.last_fault is not None:
        return fault_words(memory.last_fault)
    return ""


_HINDRANCES = frozenset((*get_args(StuckReason), *get_args(ObstacleReason)))
_RESTING: Mapping[str, ConditionReason] = {"complete": "Finished", "suspended": "Suspended"}
_ACTIVITY: Mapping[str, ConditionReason] = {
    "gated": "MasterStarting",
    "formed": "Running",
    "failing": "Restarting",
    "suspending": "Suspending",
}


def _progress(memory: Memory, seen: Seen | None, before: Status) -> dict[str, Any]:
    """Of the leader; the last one stays while nobody tells more of the same stage, and where the
    training ended stays for good."""
    durable = seen.durable if seen else memory.durable
    shown = dict(before.get("progress", {}))
    lasting = {name: shown[name] for name in ("phase", "step", "loss") if name in shown}
    if before.get("stage") != memory.stage:
        shown = lasting
    if seen is not None and seen.progress is not None:
        shown = {**lasting, **_known(seen.progress)}
    if durable is not None:
        shown["durable"] = _position(durable)
        if memory.stage == "evaluate":
            shown |= _position(durable)
    return shown


def _known(progress: Progress) -> dict[str, Any]:
    values = {
        "activity": progress.activity,
        "unit": progress.unit,
        "done": progress.done,
        "total": progress.total,
        "loss": _short(progress.loss),
        "tokensPerSecond": _short(progress.tokens_per_second),
        "etaSeconds": _short(progress.eta_seconds),
        "eta": duration_words(progress.eta_seconds),
        **(_position(progress.position) if progress.position else {}),
    }
    return {name: value for name, value in values.items() if value is not None}


def _short(value: float | None) -> float | None:
    """Five digits: more say nothing to people who watch a column."""
    return None if value is None else float(f"{value:.5g}")


def _position(position: Position) -> dict[str, Any]:
    return {"phase": position.phase or str(position.phase_index), "step": position.step}


def _fault(fault: Fault) -> dict[str, Any]:
    plain: dict[str, Any] = document(fault)
    return {**plain, "at": timestamp(fault.at)}
