"""The rules that hold at every revision of a store. `judge` applies them.

A rule gets the world before a change and the change, and gives a sentence for each way in which the
change breaks it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from lmjob.api.names import KIND, LABEL_MANAGED_BY, LABEL_UID, MANAGER
from tests.cluster.harness.history import (
    Change,
    Object,
    World,
    attempt_of,
    has_ended,
    is_deleting,
    job_of,
    label,
    memory_of,
    owning_job,
    replica_of,
    uid,
)

ORPHAN_SECONDS = 10.0
"""Longest time that anything of a deleted job may be left."""

OWN_KINDS = ("Pod", "Service", "ConfigMap")
"""What the operator creates for a job."""
OTHER_KINDS = (KIND, "Event", "Lease")
"""What else it may write."""

USERS_FINALIZERS = ("foregroundDeletion", "orphan")
"""Set by the API server when a user asks for that way of deleting."""

_STAGES = {"prepare": 0, "master": 1, "worker": 1, "evaluate": 2}

Rule = Callable[[World, Change], Iterator[str]]


def one_attempt(world: World, change: Change) -> Iterator[str]:
    """I1: a pod is created only when everything of older attempts and stages has ended for
    certain, and nothing newer is there."""
    pod = _new_pod(change)
    if pod is None:
        return
    mine = _order(pod)
    for other in world.pods(owning_job(pod)):
        if _order(other) < mine and not has_ended(other):
            yield f"created while {_name(other)} may still run"
        if _order(other) > mine:
            yield f"created after {_name(other)} of a later attempt or stage"


def master_first(world: World, change: Change) -> Iterator[str]:
    """I2: a worker is created after the master of its attempt was Ready, and while it stays."""
    pod = _new_pod(change)
    if pod is None or replica_of(pod)[0] != "worker":
        return
    masters = [
        other
        for other in world.pods(owning_job(pod))
        if replica_of(other)[0] == "master" and attempt_of(other) == attempt_of(pod)
    ]
    if not masters:
        yield "there is no master of its attempt"
    for master in masters:
        if uid(master) not in world.was_ready:
            yield f"its master {_name(master)} was never Ready"
        if is_deleting(master):
            yield f"its master {_name(master)} is being deleted"


def one_pod_each(world: World, change: Change) -> Iterator[str]:
    """I3: one pod for each replica of an attempt, and none that the plan does not ask for."""
    pod = _new_pod(change)
    if pod is None:
        return
    for other in world.pods(owning_job(pod)):
        if (attempt_of(other), replica_of(other)) == (attempt_of(pod), replica_of(pod)):
            yield f"is a second {replica_of(pod)} beside {_name(other)}"
    plan = _plan(world, owning_job(pod))
    if plan is None:
        yield "created before the plan of its job was frozen"
    elif replica_of(pod) not in _asked(plan):
        yield f"nobody asked for {replica_of(pod)}"


def claimed_first(world: World, change: Change) -> Iterator[str]:
    """I4: attempts and restarts only grow, stay within the budget, and are claimed in status before
    a pod is created in their name."""
    pod = _new_pod(change)
    if pod is not None:
        job = world.job(owning_job(pod))
        claimed = memory_of(job).get("attempt", 0) if job else None
        if claimed is not None and claimed != attempt_of(pod):
            yield f"of attempt {attempt_of(pod)}, but claimed is {claimed}"
    job_before, job_after = _job_change(change)
    if job_after is None:
        return
    for count in ("attempt", "restarts"):
        before, after = (memory_of(job or {}).get(count, 0) for job in (job_before, job_after))
        if after < before:
            yield f"{count} went back from {before} to {after}"
    plan = _plan(world, uid(job_after))
    if plan and memory_of(job_after).get("restarts", 0) > plan["maxRestarts"]:
        yield f"more restarts than {plan['maxRestarts']}"


def end_is_final(world: World, change: Change) -> Iterator[str]:
    """I5: after Complete or Failed no pod is created and no condition changes."""
    pod = _new_pod(change)
    if pod is not None:
        job = world.job(owning_job(pod))
        if job and memory_of(job).get("outcome") in ("complete", "failed"):
            yield "created after its job had ended"
    before, after = _job_change(change)
    if before is None or after is None:
        return
    if memory_of(before).get("outcome") not in ("complete", "failed"):
        return
    if memory_of(before).get("outcome") != memory_of(after).get("outcome"):
        yield f"left the outcome {memory_of(before).get('outcome')}"
    old, new = _statuses(before), _statuses(after)
    for kind in sorted(old.keys() | new.keys()):
        if old.get(kind) != new.get(kind):
            yield f"after the end, {kind} went from {old.get(kind)} to {new.get(kind)}"


def nothing_adopted(world: World, change: Change) -> Iterator[str]:
    """I8: what belongs to one job never comes to belong to another, and goes with it in time."""
    before, after = change.before, change.after
    if before is not None and after is not None and not change.creates:
        if job_of(before) and job_of(before) != job_of(after):
            yield f"belonged to {job_of(before)} and now to {job_of(after) or 'none'}"
        if owning_job(after) and not owning_job(before) and not job_of(before):
            yield f"was adopted by {owning_job(after)}"
    if before is not None and (after is None or change.creates):
        ended = ended_at(world, before, change.state.kind)
        if ended is not None and change.state.at - ended > ORPHAN_SECONDS:
            yield f"was left {change.state.at - ended:.1f} s after its job"


def no_finalizer(world: World, change: Change) -> Iterator[str]:
    """I12: nothing of ours ever waits for an operator to be deleted."""
    after = change.after
    if after is None or not (change.state.kind == KIND or job_of(after)):
        return
    names = after.get("metadata", {}).get("finalizers") or ()
    for name in names:
        if name not in USERS_FINALIZERS:
            yield f"has the finalizer {name}"


def own_things_only(world: World, change: Change) -> Iterator[str]:
    """I13: the operator writes its own kinds, with labels and owner, in the job's namespace, and of
    a job its status alone."""
    after, kind = change.after, change.state.kind
    if after is None:
        return
    entries = [e for e in after.get("metadata", {}).get("managedFields") or () if _ours(e)]
    if not entries:
        return
    if kind not in OWN_KINDS + OTHER_KINDS:
        yield f"the operator wrote a {kind}"
    if kind == KIND and any(entry.get("subresource") != "status" for entry in entries):
        yield "the operator wrote more than the status of a job"
    if kind in OWN_KINDS and change.creates:
        yield from _unowned(world, after, change.state.namespace)


RULES: tuple[tuple[str, Rule], ...] = (
    ("I1", one_attempt),
    ("I2", master_first),
    ("I3", one_pod_each),
    ("I4", claimed_first),
    ("I5", end_is_final),
    ("I8", nothing_adopted),
    ("I12", no_finalizer),
    ("I13", own_things_only),
)


def _unowned(world: World, item: Object, namespace: str) -> Iterator[str]:
    if not owning_job(item):
        yield "has no job as its controller"
        return
    if label(item, LABEL_UID) != owning_job(item):
        yield f"its label {LABEL_UID} is not its owner's uid"
    if label(item, LABEL_MANAGED_BY) != MANAGER:
        yield f"has no label {LABEL_MANAGED_BY}: {MANAGER}"
    job = world.job(owning_job(item))
    if job is not None and job["metadata"].get("namespace") != namespace:
        yield f"is not in its job's namespace {job['metadata'].get('namespace')}"


def ended_at(world: World, item: Object, kind: str) -> float | None:
    """When the job of an object was deleted; Events may outlive it."""
    return None if kind in ("Event", KIND) else world.ended_jobs.get(job_of(item))


def _new_pod(change: Change) -> Object | None:
    """The pod of a job that this revision creates; impostors are nobody's."""
    is_new = change.state.kind == "Pod" and change.creates and change.after is not None
    return change.after if is_new and change.after and owning_job(change.after) else None


def _job_change(change: Change) -> tuple[Object | None, Object | None]:
    """A job before and after an update; nothing for anything else."""
    if change.state.kind != KIND or change.creates:
        return None, None
    return change.before, change.after


def _order(pod: Object) -> tuple[int, int]:
    return attempt_of(pod), _STAGES.get(replica_of(pod)[0], 9)


def _plan(world: World, job_uid: str) -> Any:
    for key, item in world.objects.items():
        if key[0] == "ConfigMap" and owning_job(item) == job_uid:
            text = (item.get("data") or {}).get("plan.json")
            return json.loads(text) if text else None
    return None


def _asked(plan: Any) -> set[tuple[str, int]]:
    return {(r["role"], r["index"]) for stage in plan["stages"] for r in stage["replicas"]}


def _statuses(job: Object) -> dict[str, str]:
    return {c["type"]: c["status"] for c in job.get("status", {}).get("conditions") or ()}


def _ours(entry: Any) -> bool:
    found: bool = entry.get("manager", "") == MANAGER
    return found


def _name(item: Object) -> str:
    meta = item.get("metadata", {})
    return f"{meta.get('name')} ({meta.get('uid')})"
