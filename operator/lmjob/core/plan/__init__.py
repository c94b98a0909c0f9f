"""A specification becomes a plan: stages of replicas, without a word of Kubernetes."""

from lmjob.core.plan.facts import Facts
from lmjob.core.plan.job import plan_hash, plan_job
from lmjob.core.plan.shapes import (
    JobIdentity,
    JobPlan,
    ReplicaKey,
    ReplicaPlan,
    Role,
    StagePlan,
)

__all__ = [
    "Facts",
    "JobIdentity",
    "JobPlan",
    "ReplicaKey",
    "ReplicaPlan",
    "Role",
    "StagePlan",
    "plan_hash",
    "plan_job",
]
