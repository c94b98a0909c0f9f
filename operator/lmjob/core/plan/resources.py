"""What follows from the resources of the training group's pods: number format and threads."""

from __future__ import annotations

from typing import Literal

from lmjob.api.names import Role
from lmjob.api.spec import Placement, processes_of, resources_of
from lmjob.core.plan.facts import Facts


def precision(spec: Placement) -> Literal["bf16", "fp32"]:
    """What "auto" means: bf16 where the master has GPUs."""
    return "bf16" if resources_of(spec, "master").gpus else "fp32"


def threads(spec: Placement, facts: Facts) -> int:
    """What "auto" means: the CPUs that a process can count on, rounded down, at least 1.

    The fewest over master and workers, because results are bit-equal only for one number of
    threads. A pod's CPU limit (or request) decides, also on this machine, so that a job computes
    the same in both places; else the cores of this machine are shared out; else one thread.
    """
    roles: tuple[Role, ...] = ("master", "worker") if spec.workers.replicas else ("master",)
    return max(1, min(_share(spec, role, facts) for role in roles))


def _share(spec: Placement, role: Role, facts: Facts) -> int:
    processes = processes_of(spec, role)
    cpu = resources_of(spec, role).cpu
    if cpu is not None:
        return int(cpu.amount // processes)
    return (facts.cpus or 0) // ((1 + spec.workers.replicas) * processes)
