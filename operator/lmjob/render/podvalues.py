"""What stands in the template of a pod: a plan's replica as values. Called by `manifests.pod`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lmjob.api import names
from lmjob.api.spec import PodSettings
from lmjob.core.environment import Place, node_environment, variables
from lmjob.core.plan.shapes import JobPlan, ReplicaPlan, StagePlan
from lmjob.render import volumes
from lmjob.render.literal import literal
from lmtrainer.config import document
from lmtrainer.contract.arguments import launch_arguments

LOST_NODE_SECONDS = 30
"""How long a pod stays bound to a node that does not answer."""

SCRATCH: Mapping[str, str] = MappingProxyType(
    {
        "HOME": volumes.TMP_FOLDER,
        "HF_HOME": f"{volumes.TMP_FOLDER}/huggingface",
        "MPLCONFIGDIR": f"{volumes.TMP_FOLDER}/matplotlib",
        "TORCHINDUCTOR_CACHE_DIR": f"{volumes.TMP_FOLDER}/torchinductor",
    }
)
"""Where libraries may write: the root file system is read-only. A user's own variables win."""


def job_labels(plan: JobPlan) -> dict[str, str]:
    """Labels of every object of a job."""
    return {
        "app.kubernetes.io/name": "lmtrainer",
        "app.kubernetes.io/instance": plan.job.name,
        names.LABEL_MANAGED_BY: names.MANAGER,
        names.LABEL_JOB: plan.job.name,
        names.LABEL_UID: plan.job.uid,
    }


def pod_values(
    plan: JobPlan,
    stage: StagePlan,
    replica: ReplicaPlan,
    attempt: int,
    *,
    master_ip: str | None,
) -> dict[str, Any]:
    """The values of `templates/pod.json.j2` but for those that all objects have."""
    settings = plan.pods.get(replica.role, PodSettings())
    mounts = volumes.claim_mounts(plan, replica)
    alias = "127.0.0.1" if replica == stage.leader else master_ip
    host = names.service_name(plan.job.name, plan.job.uid)
    return {
        **_identity(plan, replica, attempt, settings),
        **_placement(settings),
        "grace_seconds": int(plan.grace_seconds),
        "host_aliases": [{"ip": alias, "hostnames": [host]}] if alias else None,
        "user": volumes.USER,
        "image": plan.image,
        "arguments": _arguments(stage),
        "variables": _variables(plan, stage, replica, attempt, mounts),
        "secrets": [
            (name, entry.name, entry.key) for name, entry in plan.secrets_of(replica.role).items()
        ],
        "claims": [dataclasses.astuple(mount) for mount in mounts],
        "config_map": names.plan_name(plan.job.name, plan.job.uid),
        "config_file": volumes.CONFIG_FILE,
        "config_folder": volumes.CONFIG_FOLDER,
        "node_folder": volumes.NODE_FOLDER,
        "tmp_folder": volumes.TMP_FOLDER,
        "shm_folder": volumes.SHM_FOLDER,
        "termination_log": volumes.TERMINATION_LOG,
        "master_port": names.MASTER_PORT,
        "status_port": names.STATUS_PORT,
    }


def _identity(
    plan: JobPlan, replica: ReplicaPlan, attempt: int, settings: PodSettings
) -> dict[str, Any]:
    role, index = replica.role, replica.index
    own = {
        "app.kubernetes.io/component": role,
        names.LABEL_ATTEMPT: str(attempt),
        names.LABEL_ROLE: role,
        names.LABEL_INDEX: str(index),
        names.LABEL_NODE_RANK: str(replica.node_rank),
    }
    return {
        "name": names.replica_name(plan.job.name, plan.job.uid, attempt, role, index),
        "labels": {**settings.labels, **job_labels(plan), **own},
        "annotations": dict(settings.annotations),
    }


def _placement(settings: PodSettings) -> dict[str, Any]:
    """What a user says of the pods of a role, in the words of Kubernetes."""
    return {
        "image_pull_secrets": document(settings.image_pull_secrets),
        "node_selector": dict(settings.node_selector),
        "affinity": document(settings.affinity),
        "priority_class_name": settings.priority_class_name,
        "runtime_class_name": settings.runtime_class_name,
        "tolerations": document(settings.tolerations),
        "lost_node_seconds": LOST_NODE_SECONDS,
        "resources": document(settings.resources),
        "shared_memory": settings.shared_memory,
    }


def _arguments(stage: StagePlan) -> list[str]:
    path = f"{volumes.CONFIG_FOLDER}/{volumes.CONFIG_FILE}"
    return [literal(argument) for argument in launch_arguments(stage.name, path)]


def _variables(
    plan: JobPlan,
    stage: StagePlan,
    replica: ReplicaPlan,
    attempt: int,
    mounts: tuple[volumes.ClaimMount, ...],
) -> list[tuple[str, str]]:
    place = Place(
        master_addr=names.service_name(plan.job.name, plan.job.uid),
        master_port=names.MASTER_PORT,
        status_port=names.STATUS_PORT,
        node_dir=volumes.NODE_FOLDER,
        termination_log=volumes.TERMINATION_LOG,
        claims={mount.claim: mount.folder for mount in mounts},
    )
    told = variables(replica, node_environment(plan, stage, replica, attempt, place))
    secret = plan.secrets_of(replica.role)
    return [
        (name, literal(value)) for name, value in {**SCRATCH, **told}.items() if name not in secret
    ]
