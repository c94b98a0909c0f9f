"""What this process knows of a job: its object, its replicas, its plan, and what it wrote.

Filled by watches, listings and the answers to our own writes. It is a cache: it says when a look
is worth while, and a fresh listing has the last word before anything is created or deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lmjob.core.memory import Memory
from lmjob.core.observed import Observed, Obstacle
from lmjob.core.plan.shapes import JobPlan, ReplicaKey
from lmjob.core.report import Status
from lmjob.kube.observe import Sighting
from lmjob.reconcile import Recalled
from lmtrainer.config import parse
from lmtrainer.contract.reports import Progress, known_part

Object = dict[str, Any]
Draft = tuple[tuple[int, ReplicaKey], Object]
"""The pod of a replica of an attempt."""

_OURS = ("memory", "observedGeneration")
"""Of the status: what stands beside the report."""


def key_of(meta: Mapping[str, Any]) -> str:
    """namespace/name."""
    return f"{meta.get('namespace', '')}/{meta.get('name', '')}"


def version_of(body: Mapping[str, Any]) -> int:
    """The age of a state of an object: resource versions of one kind can be compared since
    Kubernetes 1.35, and are whole numbers in every server before."""
    text = str(body.get("metadata", {}).get("resourceVersion", ""))
    return int(text) if text.isascii() and text.isdigit() else 0


@dataclass
class View:
    """One job. Mutable; only the look at its key and the watch's callbacks touch it, all in one
    event loop."""

    key: str
    body: Object
    sightings: dict[str, Sighting] = field(default_factory=dict)
    """By the UID of the pod."""
    pods_version: int = 0
    """Of the newest state of a pod that was heard of."""
    plan: JobPlan | None = None
    plan_generation: int = 0
    """Of the specification that `plan` was made of; only matters before the first claim."""
    stored: set[str] = field(default_factory=set)
    """Names of the job's objects that are known to exist."""
    obstacle: Obstacle | None = None
    blocked_at: float = 0.0
    """Unix time since which obstacles are in the way; 0: none is."""
    progress: Progress | None = None
    polled_at: float = 0.0
    written_at: float = 0.0
    """Unix time of the last write of the status; 0: not by this process."""
    progress_at: float = 0.0
    """The same for its progress."""
    refreshed: bool = False
    """Body and replicas were read after the current look began."""
    refused_version: int = -1
    """Of the state of the job that was found unusable and told so: it is not read twice."""
    told_first_step: bool = False
    draft: Draft | None = None
    """Rendered while there was time for it, to be created next."""
    seen_at: float = 0.0
    """Unix time at which this process first knew of it."""
    output: object = None
    """Where the results go, as the user wrote it."""
    _status: Mapping[str, Any] | None = None
    _recalled: Recalled | None = None

    def __post_init__(self) -> None:
        self._keep(self.body)

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def generation(self) -> int:
        return int(self.body["metadata"].get("generation", 0))

    @property
    def deleting(self) -> bool:
        return bool(self.body["metadata"].get("deletionTimestamp"))

    @property
    def status(self) -> Mapping[str, Any]:
        """What was reported last, without parts that somebody else wrote nonsense into."""
        if self._status is None:
            self._status = _sound(self.body.get("status"))
        return self._status

    def recall(self) -> Recalled:
        """The stored claims. `MistakesError` if somebody else wrote nonsense there."""
        if self._recalled is None:
            status = {name: value for name, value in self.status.items() if name not in _OURS}
            raw = self.status.get("memory")
            memory = parse(Memory, known_part(Memory, raw), "status.memory") if raw else Memory()
            self._recalled = Recalled(memory, status)
        return self._recalled

    def observed(self) -> Observed:
        spec = self.body.get("spec")
        replicas = (s.replica for s in self.sightings.values() if s.job_uid == self.uid)
        return Observed(
            replicas=tuple(sorted(replicas, key=lambda r: (r.attempt, r.key, r.uid))),
            progress=self.progress,
            suspend=isinstance(spec, Mapping) and spec.get("suspend") is True,
            obstacle=self.obstacle,
        )

    def take_body(self, body: Object) -> bool:
        """Remember a state of the job unless a newer one is known; says whether it is new."""
        if version_of(body) <= version_of(self.body):
            return False
        self._keep(body)
        return True

    def _keep(self, body: Object) -> None:
        self.body = _kept(body)
        self.output = _output(body)
        self._status = self._recalled = None

    def take_pods(self, before: Mapping[str, Sighting], listed: Mapping[str, Sighting]) -> None:
        """Take a listing over. What came since its request was sent, when `before` was known, is
        newer; what was known and is not listed is gone, whether or not a watch tells of it."""
        for uid in before.keys() | listed.keys():
            if self.sightings.get(uid) is not before.get(uid):
                continue
            if uid in listed:
                self.sightings[uid] = listed[uid]
            else:
                del self.sightings[uid]

    def document(self, memory: Memory, plain: Mapping[str, Any], status: Status) -> Object:
        """The body of a write of the status. `plain` is the document of the memory."""
        kept = {"memory": dict(plain)} if memory != Memory() else {}
        meta = self.body["metadata"]
        return {
            "apiVersion": self.body.get("apiVersion"),
            "kind": self.body.get("kind"),
            "metadata": {name: meta[name] for name in _IDENTITY},
            "status": {**status, **kept, "observedGeneration": self.generation},
        }


def _kept(body: Object) -> Object:
    """A body without the half of it that nobody reads here."""
    meta = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return {**body, "metadata": meta}


def _output(body: Object) -> object:
    spec = body.get("spec")
    output: Any = spec.get("output") if isinstance(spec, Mapping) else None
    return output.get("to") if isinstance(output, Mapping) else None


def _sound(status: object) -> Mapping[str, Any]:
    if not isinstance(status, Mapping):
        return {}
    spoiled = {n for n, sound in _SOUND.items() if n in status and not sound(status[n])}
    return {k: v for k, v in status.items() if k not in spoiled} if spoiled else status


def _are_conditions(value: Any) -> bool:
    words = ("type", "status", "lastTransitionTime")
    return isinstance(value, list) and all(
        isinstance(c, Mapping) and all(isinstance(c.get(word), str) for word in words)
        for c in value
    )


_SOUND: Mapping[str, Callable[[Any], bool]] = {
    "conditions": _are_conditions,
    "progress": lambda value: isinstance(value, Mapping),
}

_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
