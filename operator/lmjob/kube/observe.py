"""Pods as the decision core sees them. Pure: an API object in, a `Replica` out.

Called for every pod that a listing or a watch brings. What is not a replica of ours, by labels and
by the UID of its owner, is none: a pod that only looks like one decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lmjob.api import names
from lmjob.core.observed import Replica, ReplicaState, StuckReason
from lmjob.core.plan.shapes import ReplicaKey
from lmtrainer.contract.reports import MAX_TERMINATION_BYTES, Termination, load

CONTAINER = "trainer"
MAX_WORDS = 500
"""Longest cause that is passed on, in characters."""

_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_CONFIGURATION = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_DISRUPTIONS = ("Evicted", "Preempting", "NodeShutdown", "NodeAffinity", "Terminated")
"""Words of the kubelet for a pod that it ended on its own account."""

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Sighting:
    """A replica, and what only this backend needs of its pod."""

    job_uid: str
    replica: Replica
    ip: str | None


def sight(pod: Object) -> Sighting | None:
    """The replica that a pod is; None if it is none of ours."""
    meta = pod.get("metadata", {})
    labels = meta.get("labels") or {}
    uid = labels.get(names.LABEL_UID, "")
    key, attempt = _key(labels), _whole(labels.get(names.LABEL_ATTEMPT))
    if key is None or not attempt or not _owned_by(meta, uid):
        return None
    status = pod.get("status") or {}
    terminated = _container(status).get("state", {}).get("terminated") or {}
    state = _state(meta, status)
    stuck, words = _stuck(pod, status) if state == "pending" else (None, "")
    replica = Replica(
        key=key,
        attempt=attempt,
        uid=str(meta["uid"]),
        state=state,
        reason=words or _reason(state, status, terminated),
        stuck=stuck,
        exit_code=_whole(terminated.get("exitCode")),
        termination=_termination(terminated.get("message")),
        created_at=_time(meta.get("creationTimestamp")) or 0.0,
        disrupted=_disruption(status) is not None or status.get("reason") in _DISRUPTIONS,
        ending_by=_time(meta.get("deletionTimestamp")),
        cut_off_since=_cut_off_since(status),
    )
    return Sighting(uid, replica, status.get("podIP"))


def _key(labels: Mapping[str, str]) -> ReplicaKey | None:
    role, index = labels.get(names.LABEL_ROLE), _whole(labels.get(names.LABEL_INDEX))
    if role not in names.ROLES or index is None:
        return None
    return ReplicaKey(role, index)


def _owned_by(meta: Object, uid: str) -> bool:
    owners = meta.get("ownerReferences") or ()
    return bool(uid) and any(o.get("uid") == uid and o.get("controller") for o in owners)


def _whole(value: object) -> int | None:
    if isinstance(value, int):
        return value
    text = value if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _state(meta: Object, status: Object) -> ReplicaState:
    phase = status.get("phase")
    if phase in ("Succeeded", "Failed"):
        return "succeeded" if phase == "Succeeded" else "failed"
    if meta.get("deletionTimestamp"):
        return "terminating"
    if phase != "Running":
        return "pending"
    return "ready" if _holds(status, "Ready") else "starting"


def _reason(state: ReplicaState, status: Object, terminated: Object) -> str:
    if state == "terminating":
        disruption = _disruption(status)
        return _words(disruption.get("message") or disruption.get("reason")) if disruption else ""
    if state != "failed":
        return ""
    told = [status.get("reason"), terminated.get("reason"), status.get("message")]
    code = terminated.get("exitCode")
    return _words(", ".join([*filter(None, told), *([f"exit code {code}"] if code else [])]))


def _stuck(pod: Object, status: Object) -> tuple[StuckReason | None, str]:
    """Why a pod does not start, if it is more than that it takes its time."""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        words = _words(scheduled.get("message"))
        return ("Volume" if "persistentvolumeclaim" in words.lower() else "Unschedulable"), words
    waiting = _container(status).get("state", {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _IMAGE:
        image = (pod.get("spec", {}).get("containers") or [{}])[0].get("image", "")
        return "ImagePull", _words(f"image {image}: {reason}: {waiting.get('message', '')}")
    if reason in _CONFIGURATION:
        return "PodConfiguration", _words(f"{reason}: {waiting.get('message', '')}")
    return None, ""


def _container(status: Object) -> Object:
    found: Iterable[Object] = status.get("containerStatuses") or ()
    return next((c for c in found if c.get("name") == CONTAINER), {})


def _conditions(status: Object, kind: str) -> Iterator[Object]:
    return (c for c in status.get("conditions") or () if c.get("type") == kind)


def _condition(status: Object, kind: str) -> Object:
    return next(_conditions(status, kind), {})


def _holds(status: Object, kind: str) -> bool:
    return bool(_condition(status, kind).get("status") == "True")


def _disruption(status: Object) -> Object | None:
    found = _condition(status, "DisruptionTarget")
    return found if found.get("status") == "True" else None


def _cut_off_since(status: Object) -> float | None:
    """Since when the platform has given up the pod's node. The node's silence shows in the pod: the
    node controller takes Ready away and leaves ContainersReady, which only a kubelet writes; a
    drained node's kubelet would take both."""
    disruption = _disruption(status)
    if disruption is None or disruption.get("reason") != "DeletionByTaintManager":
        return None
    silent = _holds(status, "ContainersReady") and not _holds(status, "Ready")
    return _time(disruption.get("lastTransitionTime")) if silent else None


def _termination(message: object) -> Termination | None:
    """The last word of a launcher; None if it is none of ours."""
    if not isinstance(message, str) or len(message) > 2 * MAX_TERMINATION_BYTES:
        return None
    try:
        return load(Termination, message)
    except (ValueError, TypeError, RecursionError):
        return None


def _time(text: object) -> float | None:
    """Unix time of an RFC 3339 time."""
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else None
    except ValueError:
        return None


def _words(text: object) -> str:
    clean = " ".join(str(text or "").split())
    return clean if len(clean) <= MAX_WORDS else clean[:MAX_WORDS] + "..."
