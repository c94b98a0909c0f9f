"""A specification becomes a plan: every choice that was left open is made here, once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from lmjob.api.names import ROLES
from lmjob.api.spec import CommandSpec, Job, JobSpec, PodSettings, Spec, pod_of, processes_of
from lmjob.api.spec.variables import SecretKey, literals, secrets
from lmjob.core.plan.facts import Facts
from lmjob.core.plan.resources import precision, threads
from lmjob.core.plan.shapes import JobIdentity, JobPlan, ReplicaPlan, Role, StagePlan
from lmtrainer.config import CommandConfig, ResolvedRun, document, fingerprint, resolve
from lmtrainer.contract.reports import Position


def plan_job(job: Job, *, uid: str, facts: Facts) -> JobPlan:
    """The plan of a job. Equal arguments give equal plans; `uid` is unique in time."""
    spec = job.spec
    plan = JobPlan(
        job=JobIdentity(name=job.name, namespace=job.namespace, uid=uid),
        image=spec.image or facts.default_image,
        run=_run(spec, threads(spec, facts)),
        stages=_stages(spec),
        pods=_pods(spec),
        secrets=_secrets(spec) or None,
        startup_seconds=_seconds(spec.startup.timeout_seconds),
        max_restarts=spec.failure_policy.max_restarts,
        grace_seconds=float(spec.termination_grace_period_seconds),
    )
    return dataclasses.replace(plan, plan_hash=plan_hash(plan))


def plan_hash(plan: JobPlan) -> str:
    """sha256 of the plan's document without the hash itself."""
    return fingerprint(document(dataclasses.replace(plan, plan_hash="")))


def _run(spec: Spec, threads: int) -> ResolvedRun | CommandConfig:
    """The work, without "auto"."""
    if isinstance(spec, CommandSpec):
        given = spec.run()
        chosen = threads if given.threads_per_process == "auto" else given.threads_per_process
        return dataclasses.replace(given, threads_per_process=chosen)
    return resolve(spec.run(), precision=precision(spec), threads=threads)


def _stages(spec: Spec) -> tuple[StagePlan, ...]:
    """A program of the user's own is one stage: what comes before and after is its affair."""
    if isinstance(spec, CommandSpec):
        return (StagePlan(name="train", replicas=_group(spec)),)
    return (
        StagePlan(name="prepare", replicas=_preparers(spec)),
        StagePlan(name="train", replicas=_group(spec), target=_target(spec)),
        StagePlan(name="evaluate", replicas=(_replica(spec, "evaluate", 0, 0),)),
    )


def _preparers(spec: JobSpec) -> tuple[ReplicaPlan, ...]:
    first = _replica(spec, "prepare", 0, 0)
    return tuple(
        dataclasses.replace(first, index=index, node_rank=index)
        for index in range(spec.prepare.replicas)
    )


def _group(spec: Spec) -> tuple[ReplicaPlan, ...]:
    worker = _replica(spec, "worker", 0, 1)
    return (
        _replica(spec, "master", 0, 0),
        *(
            dataclasses.replace(worker, index=index, node_rank=index + 1)
            for index in range(spec.workers.replicas)
        ),
    )


def _replica(spec: Spec, role: Role, index: int, node_rank: int) -> ReplicaPlan:
    return ReplicaPlan(
        role=role,
        index=index,
        node_rank=node_rank,
        processes=processes_of(spec, role),
        env=literals(pod_of(spec, role).env),
    )


def _target(spec: JobSpec) -> Position | None:
    last = spec.phases[-1]
    if last.steps is None:
        return None
    return Position(phase_index=len(spec.phases) - 1, step=last.steps, phase=last.name)


def _seconds(whole: int | None) -> float | None:
    return None if whole is None else float(whole)


def _pods(spec: Spec) -> Mapping[str, PodSettings]:
    """The pods of every role that the job has; variables stand with the replicas."""
    return MappingProxyType({role: _settings(spec, role) for role in _roles(spec)})


def _secrets(spec: Spec) -> Mapping[str, Mapping[str, SecretKey]]:
    """The roles that have variables out of Secrets, with these."""
    found = {role: secrets(pod_of(spec, role).env) for role in _roles(spec)}
    return MappingProxyType({role: entries for role, entries in found.items() if entries})


def _roles(spec: Spec) -> Iterable[Role]:
    has = spec.blocks.keys() - (set() if spec.workers.replicas else {"worker"})
    return (role for role in ROLES if role in has)


def _settings(spec: Spec, role: Role) -> PodSettings:
    pod = pod_of(spec, role)
    names = (field.name for field in dataclasses.fields(PodSettings))
    return PodSettings(**{name: getattr(pod, name) for name in names})
