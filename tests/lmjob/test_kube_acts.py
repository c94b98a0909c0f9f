"""What the operator writes, where the server does not take it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from lmjob.api.spec import parse_job
from lmjob.core.decide import Act, Claim
from lmjob.core.events import Event
from lmjob.core.memory import Memory, in_stage, next_attempt
from lmjob.core.plan import Facts, plan_job
from lmjob.kube.acts import Acts
from lmjob.kube.client import Client
from lmjob.kube.errors import Refused
from lmjob.kube.kinds import Kind
from lmjob.kube.view import View
from lmjob.reconcile import think
from lmjob.render import manifests
from tests.cluster.harness import jobs


class Server:
    """Takes everything, and keeps what was created."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    async def create(self, kind: Kind, namespace: str, body: Any) -> Any:
        self.made.append(body)
        return {**body, "metadata": {**body["metadata"], "uid": f"o-{len(self.made)}"}}

    async def replace_status(self, kind: Kind, namespace: str, name: str, body: Any) -> Any:
        return {**body, "metadata": {**body["metadata"], "resourceVersion": "2"}}


def test_the_pod_that_is_drawn_while_a_claim_is_stored_is_the_one_that_is_created() -> None:
    body = jobs.job("one", workers=2)
    body["metadata"] |= {"uid": "u-1", "namespace": "team", "generation": 1, "resourceVersion": "1"}
    view, server = View("team/one", body), Server()
    plan = plan_job(parse_job(body), uid="u-1", facts=Facts(default_image="example.org/a:1"))
    acts = Acts(cast(Client, server))
    found = think(plan, view.recall(), view.observed(), 100.0)
    assert isinstance(found.decision, Claim)
    memory = found.decision.memory
    leader = plan.stage(memory.stage).leader
    asyncio.run(acts.claim(view, plan, memory, found.status))
    assert view.draft is not None
    view.draft[1]["metadata"]["labels"]["drawn"] = "ahead"
    asyncio.run(acts.act(view, plan, memory, Act(create=(leader.key,))))
    wanted = manifests.pod(plan, memory.stage, leader, memory.attempt, master_ip=None)
    wanted["metadata"]["labels"]["drawn"] = "ahead"
    assert server.made[-1] == wanted
    assert view.draft is None, "it is used once"


def test_the_service_comes_with_the_workers_and_not_before() -> None:
    body = jobs.job("one", workers=2)
    body["metadata"] |= {"uid": "u-1", "namespace": "team", "generation": 1, "resourceVersion": "1"}
    view, server = View("team/one", body), Server()
    plan = plan_job(parse_job(body), uid="u-1", facts=Facts(default_image="example.org/a:1"))
    memory = in_stage(next_attempt(Memory(), 100.0), "train", 100.0)
    leader, *workers = (replica.key for replica in plan.stage("train").replicas)
    acts = Acts(cast(Client, server))
    asyncio.run(acts.act(view, plan, memory, Act(create=(leader,))))
    assert [made["kind"] for made in server.made] == ["ConfigMap", "Pod"]
    asyncio.run(acts.act(view, plan, memory, Act(create=tuple(workers))))
    assert sorted(made["kind"] for made in server.made[2:]) == ["Pod", "Pod", "Service"]


class NoEvents:
    """A server whose quota of events is used up."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def create(self, kind: Kind, namespace: str, body: Any) -> Any:
        self.asked.append(body["message"])
        raise Refused("exceeded quota: events")


def test_an_event_that_is_refused_holds_up_nothing() -> None:
    server = NoEvents()
    told = (Event("AttemptFailed", "first", warning=True), Event("Failed", "second", warning=True))
    meta = {"name": "job", "namespace": "team", "uid": "u-1", "resourceVersion": "1"}
    view = View("team/job", {"metadata": meta})
    asyncio.run(Acts(cast(Client, server)).tell(view, told))
    assert server.asked == ["first", "second"]
