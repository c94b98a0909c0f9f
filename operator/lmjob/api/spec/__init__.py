"""The specification of a job: what may be written, its defaults and its rules.

What may live here: settings classes, and rules between their fields. What may not: files, clocks,
Kubernetes' client, anything that acts. The trainer's own settings live in `lmtrainer.config`.
"""

from lmjob.api.spec.group import pod_of, processes_of, resources_of, world_size
from lmjob.api.spec.job import CommandSpec, Job, JobSpec, Spec, parse_job
from lmjob.api.spec.placement import Placement
from lmjob.api.spec.pods import PodFields, PodSettings

__all__ = [
    "CommandSpec",
    "Job",
    "JobSpec",
    "Placement",
    "PodFields",
    "PodSettings",
    "Spec",
    "parse_job",
    "pod_of",
    "processes_of",
    "resources_of",
    "world_size",
]
