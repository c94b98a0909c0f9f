"""What follows from a plan, in the numbers that people check before they spend machines on it."""

from __future__ import annotations

from dataclasses import dataclass

from lmjob.core.plan.estimate import MemoryEstimate, estimate
from lmjob.core.plan.shapes import JobPlan
from lmtrainer.config import CommandConfig, RunConfig
from lmtrainer.config.phase import Phase, batch_shape
from lmtrainer.config.places import volume_claims, written_places
from lmtrainer.config.sources import claims


@dataclass(frozen=True, kw_only=True)
class PhaseOutline:
    """A phase of training on the ranks of the plan."""

    phase: Phase
    micro: int
    """Sequences that a process computes at once."""
    accumulation: int
    world_size: int
    tokens_per_step: int
    """At most: every sequence at its full length."""
    memory: MemoryEstimate | None

    @property
    def even(self) -> bool:
        """Does each process compute the same number of sequences?"""
        return self.micro * self.accumulation * self.world_size == self.phase.global_batch_size


def outline(plan: JobPlan) -> tuple[PhaseOutline, ...]:
    """Each phase of a plan, in order; none of a program of the user's own."""
    run = plan.run
    if isinstance(run, CommandConfig):
        return ()
    world_size = plan.stage("train").world_size
    return tuple(_phase(plan, run, phase, world_size) for phase in run.phases)


def _phase(plan: JobPlan, run: RunConfig, phase: Phase, world_size: int) -> PhaseOutline:
    shape = batch_shape(phase, world_size)
    on_gpu = "master" in plan.pods and plan.pods["master"].resources.gpus > 0
    return PhaseOutline(
        phase=phase,
        micro=shape.micro,
        accumulation=shape.accumulation,
        world_size=world_size,
        tokens_per_step=phase.global_batch_size * phase.sequence_length,
        memory=estimate(run, phase, world_size=world_size, on_gpu=on_gpu),
    )


def claims_of(plan: JobPlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Volume claims that are only read, and those that are written to."""
    written = claims(written_places(plan.run))
    read = tuple(name for name in volume_claims(plan.run) if name not in written)
    return read, written
