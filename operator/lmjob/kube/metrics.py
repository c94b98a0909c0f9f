"""The operator's figures, in a registry of its own; served by `lmjob.kube.http`.

One function for each thing that is told. Labels come from closed sets: no name of a job or
namespace ever becomes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_JOBS = Gauge("lmjob_jobs", "Jobs by state.", ["state"], registry=REGISTRY)
_DEPTH = Gauge("lmjob_queue_depth", "Jobs that wait to be looked at.", registry=REGISTRY)
_OLDEST = Gauge(
    "lmjob_queue_oldest_seconds", "How long the first of them has waited.", registry=REGISTRY
)
_RECONCILE = Histogram(
    "lmjob_reconcile_seconds",
    "One look at a job, with its requests.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
_FAILURES = Counter("lmjob_reconcile_failures", "Looks that raised.", registry=REGISTRY)
_REQUESTS = Counter(
    "lmjob_api_requests",
    "Requests to the API server; code none: no answer came.",
    ["verb", "kind", "code"],
    registry=REGISTRY,
)
_RESTARTS = Counter(
    "lmjob_restarts", "Attempts that a fault ended, by its reason.", ["reason"], registry=REGISTRY
)
_FIRST_STEP = Histogram(
    "lmjob_create_to_first_step_seconds",
    "From a job's creation to its first optimizer step.",
    buckets=(5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600),
    registry=REGISTRY,
)
_LEADER = Gauge("lmjob_leader", "1 while this process leads.", registry=REGISTRY)


def set_jobs(counts: Mapping[str, int]) -> None:
    """How many jobs are in each state now; states that are absent have none."""
    _JOBS.clear()
    for state, count in counts.items():
        _JOBS.labels(state).set(count)


def watch_queue(depth: Callable[[], float], oldest: Callable[[], float]) -> None:
    """Ask these two whenever somebody reads the figures."""
    _DEPTH.set_function(depth)
    _OLDEST.set_function(oldest)


def observe_reconcile(seconds: float) -> None:
    _RECONCILE.observe(seconds)


def count_failure() -> None:
    """A look at a job raised."""
    _FAILURES.inc()


def count_request(verb: str, kind: str, code: str) -> None:
    _REQUESTS.labels(verb, kind, code).inc()


def count_restart(reason: str) -> None:
    """A fault ended an attempt; `reason` is one of the closed set of fault reasons."""
    _RESTARTS.labels(reason).inc()


def first_step(seconds: float) -> None:
    """A job made its first optimizer step this long after its creation."""
    _FIRST_STEP.observe(seconds)


def set_leading(leading: bool) -> None:
    _LEADER.set(leading)
