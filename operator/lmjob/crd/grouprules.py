"""How a global batch is cut over the group, in CEL: for groups whose size the specification tells
by itself. Where `processesPerNode: auto` counts GPUs, the operator tells the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from lmjob.api.spec import JobSpec
from lmjob.api.spec.resources import GPU
from lmjob.crd.cel import Cel, all_of, literal, or_else, said
from lmtrainer.config.phase import Phase


def group_rules() -> tuple[Cel, ...]:
    """Rules of a specification between its phases and the size of its group."""
    blocks = [f"self.{name}" for name in ("pods", "master", "workers")]
    no_gpus = all_of(*(f"!({_has_gpus(block)})" for block in blocks))
    given = "has(self.processesPerNode) && type(self.processesPerNode) == int"
    workers = "(has(self.workers) && has(self.workers.replicas) ? self.workers.replicas : 0)"
    world = f"(({given}) ? int(self.processesPerNode) : 1) * (1 + {workers})"
    known = f"(({given}) || {no_gpus}) && {world} > 0"
    return (_auto(known, world), _even(known, world))


def _has_gpus(block: str) -> str:
    limits = f"{block}.resources.limits"
    return f"has({block}) && has({block}.resources) && has({limits}) && {literal(GPU)} in {limits}"


_SIZE = or_else(
    "p.globalBatchSize",
    next(f.default for f in dataclasses.fields(Phase) if f.name == "global_batch_size"),
)
_MICRO = "int(p.microBatchSize)"
_COUNTED = "has(p.microBatchSize) && type(p.microBatchSize) == int"


def _auto(known: str, world: str) -> Cel:
    """Each process has at least one sequence."""
    wrong = f"!({_COUNTED}) && {_SIZE} < {world}"
    words = "[%d].globalBatchSize: is less than the %d processes: some would have nothing to do; "
    first = f"self.phases.map(p, {wrong}).indexOf(true)"
    return Cel(
        f"!({known}) || !self.phases.exists(p, {wrong})",
        expression=said(words + "give at least %d", first, world, world),
        field="phases",
    )


def _even(known: str, world: str) -> Cel:
    """The micro batches of all processes fill the batch."""
    sane = f"{_COUNTED} && {_MICRO} > 0 && {_MICRO} <= {_SIZE}"
    wrong = f"{sane} && {_SIZE} % ({_MICRO} * ({world})) != 0"
    words = "[%d].globalBatchSize: must be a multiple of %d: microBatchSize %d x %d processes"
    first = f"self.phases.map(p, {wrong}).indexOf(true)"
    micro = f"int(self.phases.filter(p, {wrong})[0].microBatchSize)"
    return Cel(
        f"!({known}) || !self.phases.exists(p, {wrong})",
        expression=said(words, first, f"{micro} * {world}", micro, world),
        field="phases",
    )


OBJECT_RULES: Mapping[type, tuple[Cel, ...]] = MappingProxyType({JobSpec: group_rules()})
