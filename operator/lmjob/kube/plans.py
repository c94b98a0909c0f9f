"""Which plan a job is carried out by: the frozen one once an attempt was claimed, else a new one.

Planning is a pure function, so a plan that gives the claimed hash is the frozen one, and nobody
needs to read it back; only after an upgrade that plans otherwise is the config map asked.
"""

from __future__ import annotations

import json
import logging

from lmjob.api import names
from lmjob.api.spec import parse_job
from lmjob.core.plan import Facts, JobPlan, plan_job
from lmjob.core.plan.job import plan_hash
from lmjob.core.plan.places import local_paths
from lmjob.kube.client import Client
from lmjob.kube.kinds import CONFIG_MAPS
from lmjob.kube.view import View
from lmjob.render.volumes import PLAN_FILE
from lmtrainer.config import MistakesError, parse

_log = logging.getLogger(__name__)


def planned(view: View, image: str) -> JobPlan | None:
    """The plan, as far as it is known without asking anybody; None if the config map must be read.
    `MistakesError` if the job was not begun and its specification cannot be used."""
    claimed = str(view.status.get("planHash", "")) if view.status.get("attempt") else ""
    current = view.plan
    if current is not None and (claimed or view.plan_generation == view.generation):
        return current
    try:
        fresh = _plan(view, image)
    except MistakesError:
        if not claimed:
            raise
        return None
    if claimed and fresh.plan_hash != claimed:
        return None
    view.plan, view.plan_generation = fresh, view.generation
    return fresh


async def frozen(client: Client, view: View, image: str) -> JobPlan:
    """The plan of the config map. If that is gone, the specification is planned anew: the trainer
    refuses to go on with work of another configuration."""
    name = names.plan_name(view.name, view.uid)
    found = await client.get(CONFIG_MAPS, view.namespace, name)
    if found is not None:
        try:
            plan = parse(JobPlan, json.loads(found["data"][PLAN_FILE]))
            if plan.plan_hash == plan_hash(plan) and plan.job.uid == view.uid:
                view.plan, view.plan_generation = plan, view.generation
                view.stored.add(name)
                return plan
        except (KeyError, ValueError, TypeError) as error:
            _log.error("%s: config map %s holds no plan: %s", view.key, name, error)
    view.plan, view.plan_generation = _plan(view, image), view.generation
    return view.plan


def _plan(view: View, image: str) -> JobPlan:
    job = parse_job(view.body)
    plan = plan_job(job, uid=view.uid, facts=Facts(default_image=image))
    mistakes = tuple(local_paths(plan.run))
    if mistakes:
        raise MistakesError(mistakes)
    return plan
