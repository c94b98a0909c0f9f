"""What the operator writes, where the server does not take it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from lmjob.core.events import Event
from lmjob.kube.acts import Acts
from lmjob.kube.client import Client
from lmjob.kube.errors import Refused
from lmjob.kube.kinds import Kind
from lmjob.kube.view import View


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
