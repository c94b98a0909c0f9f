"""What the operator creates for a job, for tests to look at."""

from __future__ import annotations

from typing import Any

from lmjob.api.spec import parse_job
from lmjob.core.plan import Facts, JobPlan, plan_job
from lmjob.render import pod
from tests.lmjob.bodies import changed

UID = "11111111-2222-3333-4444-555555555555"
MASTER_IP = "10.1.2.3"


def plan_with(changes: dict[str, Any] | None = None) -> JobPlan:
    """The plan of the good job with changes."""
    group = {"spec.workers.replicas": 2, "spec.phases[0].globalBatchSize": 24}
    body = changed({**group, **(changes or {})})
    return plan_job(parse_job(body), uid=UID, facts=Facts(default_image="lmtrainer:test"))


def pods_of(plan: JobPlan, *, master_ip: str | None = MASTER_IP) -> dict[str, dict[str, Any]]:
    """Every pod of attempt 3, by role and index."""
    return {
        str(replica.key): pod(plan, stage.name, replica, 3, master_ip=master_ip)
        for stage in plan.stages
        for replica in stage.replicas
    }


def container_of(found: dict[str, Any]) -> dict[str, Any]:
    (container,) = found["spec"]["containers"]
    return dict(container)


def env_of(found: dict[str, Any]) -> dict[str, str]:
    variables = container_of(found)["env"]
    assert len({v["name"] for v in variables}) == len(variables)
    return {v["name"]: v["value"] for v in variables}
