"""Which GPUs a node on this machine sees: those that it asked for, as in a pod, and none else."""

from __future__ import annotations

from lmjob.core.plan.shapes import JobPlan, ReplicaPlan, StagePlan

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_devices(
    plan: JobPlan, stage: StagePlan, replica: ReplicaPlan, allowed: str | None = None
) -> str:
    """The value of `VISIBLE` for a node. Nodes of a stage never share a GPU; one that asked for
    none computes on the CPU. `allowed` is the value that this process itself was given."""
    names = allowed.split(",") if allowed is not None else None
    first = sum(
        _gpus(plan, other) for other in stage.replicas if other.node_rank < replica.node_rank
    )
    wanted = range(first, first + _gpus(plan, replica))
    if names is None:
        return ",".join(str(number) for number in wanted)
    return ",".join(names[number] for number in wanted if number < len(names))


def _gpus(plan: JobPlan, replica: ReplicaPlan) -> int:
    pod = plan.pods.get(replica.role)
    return pod.resources.gpus if pod is not None else 0
