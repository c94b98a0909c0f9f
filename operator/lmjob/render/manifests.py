"""The objects of a job: its config map, its service, and a pod for each replica of an attempt.

Every function gives a plain dictionary ready for POST, checked against the closed list of
`lmjob.render.allowed`. Equal arguments give equal objects. Callers: `lmjob.kube`, `lmjob render`.
"""

from __future__ import annotations

import json
from typing import Any

from lmjob.api import names
from lmjob.core.plan.shapes import JobPlan, ReplicaPlan
from lmjob.render import volumes
from lmjob.render.allowed import check
from lmjob.render.podvalues import job_labels, pod_values
from lmjob.render.template import render
from lmtrainer.config import Mistake, MistakesError, document
from lmtrainer.contract.arguments import Stage

MAX_CONFIG_MAP = 1024**2
"""Bytes of all values of a config map together, as the API server counts them."""


def owner_reference(plan: JobPlan) -> dict[str, Any]:
    """The job as the owner of its objects: they go when it goes, and never hold it up."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": plan.job.name,
        "uid": plan.job.uid,
        "controller": True,
    }


def config_map(plan: JobPlan) -> dict[str, Any]:
    """The frozen plan, and the trainer's configuration out of it. MistakesError if they do not fit
    into one object of Kubernetes."""
    frozen, config = _compact(document(plan)), _compact(document(plan.run))
    size = len(frozen) + len(config)
    if size > MAX_CONFIG_MAP:
        raise MistakesError([_too_large(size)])
    own = {
        "name": names.plan_name(plan.job.name, plan.job.uid),
        "labels": job_labels(plan),
        "plan_file": volumes.PLAN_FILE,
        "plan": frozen,
        "config_file": volumes.CONFIG_FILE,
        "config": config,
    }
    return check(render("config_map.json.j2", _common(plan) | own))


def service(plan: JobPlan) -> dict[str, Any]:
    """The headless service whose name is the host name of every stage's leader."""
    own = {
        "name": names.service_name(plan.job.name, plan.job.uid),
        "labels": job_labels(plan),
        "selector": {names.LABEL_UID: plan.job.uid, names.LABEL_NODE_RANK: "0"},
        "master_port": names.MASTER_PORT,
        "status_port": names.STATUS_PORT,
    }
    return check(render("service.json.j2", _common(plan) | own))


def pod(
    plan: JobPlan,
    memory_stage: Stage,
    replica: ReplicaPlan,
    attempt: int,
    *,
    master_ip: str | None,
) -> dict[str, Any]:
    """The pod of a replica. A follower finds the leader at `master_ip`, or by DNS if that is None;
    the leader of a stage finds itself, whatever is given."""
    stage = plan.stage(memory_stage)
    own = pod_values(plan, stage, replica, attempt, master_ip=master_ip)
    return check(render("pod.json.j2", _common(plan) | own))


def _common(plan: JobPlan) -> dict[str, Any]:
    return {"namespace": plan.job.namespace, "owner": owner_reference(plan)}


def _compact(plain: Any) -> str:
    """ASCII only: as many bytes as characters."""
    return json.dumps(plain, separators=(",", ":"), allow_nan=False)


def _too_large(size: int) -> Mistake:
    rule = f"the frozen plan has {size:,} bytes; a ConfigMap holds {MAX_CONFIG_MAP:,}"
    way_out = "use fewer workers, or fewer and shorter variables in env and texts in evaluate.fill"
    return Mistake("spec", "", rule, way_out)
