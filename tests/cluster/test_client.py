"""The operator's client says what a real API server says: pages, conflicts, refusals, uids."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lmjob.kube.client import Client
from lmjob.kube.errors import AlreadyExists, Conflict, NotFound, Refused
from lmjob.kube.kinds import CLAIMS, CONFIG_MAPS, EVENTS, JOBS, PODS, SERVICES, Kind
from tests.cluster.reach import credentials, needs_api_server

pytestmark = needs_api_server()

Object = dict[str, Any]


def run(test: Callable[[Client, str], Awaitable[None]]) -> None:
    """A test with a client and a label value of its own; what bears the label is removed."""

    async def whole() -> None:
        mark = f"test-{uuid.uuid4().hex[:8]}"
        async with Client(credentials()) as client:
            try:
                await test(client, mark)
            finally:
                for kind in (CONFIG_MAPS, PODS):
                    await remove(client, kind, await made(client, kind, mark))

    asyncio.run(asyncio.wait_for(whole(), 60))


def config_map(mark: str, number: int = 0) -> Object:
    return {
        "metadata": {"name": f"{mark}-{number}", "labels": {"test": mark}},
        "data": {"number": str(number)},
    }


def pod(mark: str) -> Object:
    container = {"name": "main", "image": "example.org/none", "command": ["true"]}
    spec = {"containers": [container], "nodeName": "nowhere"}
    return {"metadata": {"name": mark, "labels": {"test": mark}}, "spec": spec}


async def made(client: Client, kind: Kind, mark: str, **how: Any) -> list[Object]:
    return await client.list_all(kind, "default", labels=f"test={mark}", **how)


async def remove(client: Client, kind: Kind, items: list[Object]) -> None:
    names = [(item["metadata"]["name"], item["metadata"]["uid"]) for item in items]
    calls = (client.delete(kind, "default", n, uid=uid, grace_seconds=0) for n, uid in names)
    await asyncio.gather(*calls)


def test_a_long_listing_is_complete_in_pages_and_every_item_comes_once() -> None:
    async def test(client: Client, mark: str) -> None:
        bodies = [config_map(mark, number) for number in range(1200)]
        await asyncio.gather(*(client.create(CONFIG_MAPS, "default", body) for body in bodies))
        items = await made(client, CONFIG_MAPS, mark, limit=100)
        assert sorted(int(item["data"]["number"]) for item in items) == list(range(1200))
        everywhere = await client.list_all(CONFIG_MAPS, labels=f"test={mark}", limit=500)
        assert len(everywhere) == 1200
        few = await client.list_each(
            CONFIG_MAPS, lambda item: item["data"]["number"], labels=f"test={mark}"
        )
        assert set(few) == set(map(str, range(1200)))

    run(test)


def test_an_object_comes_back_as_it_is_stored_and_none_is_no_error() -> None:
    async def test(client: Client, mark: str) -> None:
        assert await client.get(CONFIG_MAPS, "default", f"{mark}-0") is None
        stored = await client.create(CONFIG_MAPS, "default", config_map(mark))
        assert await client.get(CONFIG_MAPS, "default", f"{mark}-0") == stored
        assert stored["metadata"]["uid"]

    run(test)


def test_a_name_that_is_taken_is_told_apart_from_all_else() -> None:
    async def test(client: Client, mark: str) -> None:
        await client.create(CONFIG_MAPS, "default", config_map(mark))
        with pytest.raises(AlreadyExists, match=f"{mark}-0.* already exists"):
            await client.create(CONFIG_MAPS, "default", config_map(mark))

    run(test)


def test_a_write_over_somebody_else_s_is_a_conflict_and_changes_nothing() -> None:
    async def test(client: Client, mark: str) -> None:
        mine = await client.create(CONFIG_MAPS, "default", config_map(mark))
        await client.update(
            CONFIG_MAPS, "default", f"{mark}-0", {**mine, "data": {"number": "theirs"}}
        )
        with pytest.raises(Conflict):
            await client.update(
                CONFIG_MAPS, "default", f"{mark}-0", {**mine, "data": {"number": "mine"}}
            )
        there = await client.get(CONFIG_MAPS, "default", f"{mark}-0")
        assert there is not None
        assert there["data"] == {"number": "theirs"}

    run(test)


def test_a_status_is_replaced_alone_and_only_where_it_was_read() -> None:
    async def test(client: Client, mark: str) -> None:
        mine = await client.create(PODS, "default", pod(mark))
        body = {
            **mine,
            "spec": {**mine["spec"], "priority": 7},
            "status": {"phase": "Failed", "message": "by a test"},
        }
        new = await client.replace_status(PODS, "default", mark, body)
        assert new["status"]["message"] == "by a test"
        assert new["spec"] == mine["spec"]
        with pytest.raises(Conflict):
            await client.replace_status(PODS, "default", mark, body)

    run(test)


def test_a_write_that_does_not_name_what_it_read_is_never_sent() -> None:
    async def test(client: Client, mark: str) -> None:
        await client.create(CONFIG_MAPS, "default", config_map(mark))
        with pytest.raises(ValueError, match="resourceVersion"):
            await client.update(CONFIG_MAPS, "default", f"{mark}-0", config_map(mark))

    run(test)


def test_a_write_to_what_is_gone_says_so() -> None:
    async def test(client: Client, mark: str) -> None:
        mine = await client.create(CONFIG_MAPS, "default", config_map(mark))
        await remove(client, CONFIG_MAPS, [mine])
        with pytest.raises(NotFound):
            await client.update(CONFIG_MAPS, "default", f"{mark}-0", mine)
        with pytest.raises(NotFound, match="nowhere"):
            await client.create(CONFIG_MAPS, "nowhere", config_map(mark))

    run(test)


def test_only_the_very_object_is_deleted_never_its_namesake() -> None:
    async def test(client: Client, mark: str) -> None:
        name = f"{mark}-0"
        old = await client.create(CONFIG_MAPS, "default", config_map(mark))
        await remove(client, CONFIG_MAPS, [old])
        new = await client.create(CONFIG_MAPS, "default", config_map(mark))
        uids = [item["metadata"]["uid"] for item in (old, new)]
        assert not await client.delete(CONFIG_MAPS, "default", name, uid=uids[0])
        assert await client.get(CONFIG_MAPS, "default", name) == new
        assert await client.delete(CONFIG_MAPS, "default", name, uid=uids[1])
        assert not await client.delete(CONFIG_MAPS, "default", name, uid=uids[1])

    run(test)


def test_a_pod_ends_with_the_grace_that_was_asked_for_or_at_once() -> None:
    async def test(client: Client, mark: str) -> None:
        uid = (await client.create(PODS, "default", pod(mark)))["metadata"]["uid"]
        assert await client.delete(PODS, "default", mark, uid=uid, grace_seconds=40)
        there = await client.get(PODS, "default", mark)
        assert there is not None
        assert there["metadata"]["deletionGracePeriodSeconds"] == 40
        assert await client.delete(PODS, "default", mark, uid=uid, grace_seconds=0)
        assert await client.get(PODS, "default", mark) is None

    run(test)


def test_a_refusal_carries_the_server_s_own_words() -> None:
    async def test(client: Client, mark: str) -> None:
        body = pod(mark)
        body["spec"]["containers"][0]["image"] = ""
        with pytest.raises(Refused, match=r"spec.containers\[0\].image: Required value") as caught:
            await client.create(PODS, "default", body)
        assert caught.value.code == 422
        assert caught.value.reason == "Invalid"

    run(test)


def test_every_kind_that_the_operator_reads_or_makes_has_its_place() -> None:
    async def test(client: Client, mark: str) -> None:
        for kind in (PODS, SERVICES, CONFIG_MAPS, CLAIMS, EVENTS):
            await client.list_all(kind, "default", labels=f"test={mark}")

    run(test)
    assert JOBS.path("a", "b", "/status") == (
        "/apis/lmtraining.dev/v1alpha1/namespaces/a/lmtrainingjobs/b/status"
    )
