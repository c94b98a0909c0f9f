"""What the roles add up to: the pod of each role, processes per node, size of the group.

The rules here compare blocks of a specification with each other. The plan uses the same functions,
so that what was checked is what runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lmjob.api.names import Role
from lmjob.api.spec.pods import PodFields
from lmjob.api.spec.resources import GPU, Resources, at_most_devices, overridden
from lmtrainer.config.mistakes import Mistake, key_place
from lmtrainer.config.phase import Phase, batch_mistakes

if TYPE_CHECKING:
    from lmjob.api.spec.placement import Placement

_DEVICES_INHERITED: Mapping[Role, int] = MappingProxyType({"prepare": 0, "evaluate": 1})
"""Devices of `pods` that a role gets unasked: prepare has no use for any, evaluate for one."""

_SIZE_FIELDS = (
    "workers.replicas",
    "processesPerNode",
    *(key_place(f"{block}.resources.limits", GPU) for block in ("pods", "master", "workers")),
)


def pod_of(spec: Placement, role: Role) -> PodFields:
    """The fields of a role's pod: its own block over `pods`. Objects and variables are joined by
    name; anything else that the block gives replaces what `pods` gives."""
    base, own = spec.pods, spec.blocks[role]
    values: dict[str, Any] = {}
    for field in dataclasses.fields(PodFields):
        ours, theirs = getattr(own, field.name), getattr(base, field.name)
        joined = {**theirs, **ours} if isinstance(ours, Mapping) else None
        values[field.name] = (ours or theirs) if joined is None else MappingProxyType(joined)
    values["resources"] = resources_of(spec, role)
    named = {variable.name for variable in own.env}
    values["env"] = tuple(v for v in base.env if v.name not in named) + own.env
    return PodFields(**values)


def resources_of(spec: Placement, role: Role) -> Resources:
    """What a pod of a role asks for."""
    base, most = spec.pods.resources, _DEVICES_INHERITED.get(role)
    inherited = base if most is None else at_most_devices(base, most)
    return overridden(inherited, spec.blocks[role].resources)


def processes_of(spec: Placement, role: Role) -> int:
    """Ranks on one node of a role; only the training group has more than one."""
    if role in ("prepare", "evaluate"):
        return 1
    if isinstance(spec.processes_per_node, int):
        return spec.processes_per_node
    return resources_of(spec, role).gpus or 1


def world_size(spec: Placement) -> int:
    """Ranks of the training group."""
    workers = spec.workers.replicas
    return processes_of(spec, "master") + workers * processes_of(spec, "worker")


def group_mistakes(spec: Placement, phases: Sequence[Phase]) -> Iterator[Mistake]:
    """Mistakes that show only when the blocks are seen together, and with the phases of training,
    if there are any; `about` names those blocks."""
    gpus = list(_gpu_mistakes(spec))
    if gpus:
        yield from (dataclasses.replace(mistake, about=_SIZE_FIELDS) for mistake in gpus)
        return
    for index, phase in enumerate(phases):
        for mistake in batch_mistakes(phase, world_size(spec)):
            here = mistake.under(f"phases[{index}]")
            yield dataclasses.replace(here, about=(*here.about, *_SIZE_FIELDS))


def _gpu_mistakes(spec: Placement) -> Iterator[Mistake]:
    master = resources_of(spec, "master").gpus
    worker = resources_of(spec, "worker").gpus if spec.workers.replicas else master
    processes = spec.processes_per_node
    field = "processesPerNode"
    same = "give all nodes of the group the same number of GPUs"
    if processes == "auto" and master != worker:
        yield Mistake(field, '"auto"', f"the master has {master} GPUs, a worker {worker}", same)
    elif (master == 0) != (worker == 0):
        rule = f"the master has {master} GPUs, a worker {worker}"
        yield Mistake(field, str(processes), rule, same)
    fewest = min(master, worker)
    if fewest and isinstance(processes, int) and processes > fewest:
        way_out = f"at most {fewest}, or ask for more GPUs"
        rule = f"is more than the {fewest} GPUs of a node: each process needs its own"
        yield Mistake(field, str(processes), rule, way_out)
