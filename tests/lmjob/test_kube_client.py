"""The operator's client against a server that misbehaves: what is tried again, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lmjob.kube import metrics, transport
from lmjob.kube.client import Client
from lmjob.kube.credentials import Credentials, TokenFile
from lmjob.kube.errors import AlreadyExists, Conflict, Refused, Unavailable
from lmjob.kube.kinds import CONFIG_MAPS, PODS

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
GOOD = {"metadata": {"uid": "u", "resourceVersion": "1"}}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE", 0.01)


def answer(code: int, body: Any = None, **headers: str) -> Answer:
    async def respond(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(GOOD if body is None else body, status=code, headers=named)

    return respond


def refusal(code: int, reason: str, message: str, **headers: str) -> Answer:
    return answer(code, {"kind": "Status", "reason": reason, "message": message}, **headers)


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


class Server:
    """Gives its answers in turn, and the last one for ever; keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.asked: list[web.Request] = []
        self.bodies: list[Any] = []
        self.peers: set[Any] = set()
        self.at: list[float] = []

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.at.append(time.monotonic())
        self.asked.append(request)
        assert request.transport is not None
        self.peers.add(request.transport.get_extra_info("peername"))
        self.bodies.append(json.loads(await request.read() or b"null"))
        respond = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return await respond(request)

    @contextlib.asynccontextmanager
    async def running(self, token: Any = None, **how: Any) -> AsyncIterator[Client]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.take)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with Client(Credentials(server=server, token=token), **how) as client:
                yield client
        finally:
            await runner.cleanup()


def calls(*answers: Answer, call: Callable[[Client], Awaitable[Any]], **how: Any) -> Server:
    """Make one call to a server with these answers; its exception is raised."""
    server = Server(*answers)

    async def whole() -> None:
        async with server.running(**how) as client:
            await call(client)

    asyncio.run(asyncio.wait_for(whole(), 20))
    return server


CALLS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "get": lambda client: client.get(PODS, "ns", "x"),
    "list": lambda client: client.list_all(PODS, "ns"),
    "create": lambda client: client.create(PODS, "ns", {"metadata": {"name": "x"}}),
    "update": lambda client: client.update(PODS, "ns", "x", GOOD),
    "status": lambda client: client.replace_status(PODS, "ns", "x", GOOD),
    "delete": lambda client: client.delete(PODS, "ns", "x", uid="u"),
}
TROUBLES = {
    "overload": refusal(429, "TooManyRequests", "slow down"),
    "error": refusal(500, "InternalError", "etcd is away"),
    "restart": refusal(503, "ServiceUnavailable", "starting"),
    "lost connection": hang_up,
    "expired token": refusal(401, "Unauthorized", "Unauthorized"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_passing_troubles_are_ridden_out(
    trouble: Answer, call: Callable[[Client], Awaitable[Any]]
) -> None:
    server = calls(trouble, trouble, answer(200), call=call)
    assert len(server.asked) >= 3
    assert len({(request.method, request.path_qs) for request in server.asked}) == 1
    assert all(body == server.bodies[0] for body in server.bodies)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_lasting_trouble_is_told_in_the_server_s_words_after_a_few_tries(
    call: Callable[[Client], Awaitable[Any]],
) -> None:
    server = Server(refusal(500, "InternalError", "failed calling webhook"))

    async def whole() -> None:
        async with server.running() as client:
            with pytest.raises(Unavailable, match="failed calling webhook") as caught:
                await call(client)
            assert caught.value.code == 500

    asyncio.run(whole())
    assert len(server.asked) == transport.TRIES


@pytest.mark.parametrize("code", [400, 403, 405, 413, 422])
def test_a_refusal_is_not_tried_again(code: int) -> None:
    server = Server(refusal(code, "Forbidden", "exceeded quota: gpus"))

    async def whole() -> None:
        async with server.running() as client:
            with pytest.raises(Refused, match="exceeded quota: gpus") as caught:
                await CALLS["create"](client)
            assert (caught.value.code, caught.value.reason) == (code, "Forbidden")

    asyncio.run(whole())
    assert len(server.asked) == 1


def test_the_server_s_wish_about_the_next_try_is_kept() -> None:
    server = calls(
        refusal(429, "TooManyRequests", "", Retry_After="1"), answer(200), call=CALLS["get"]
    )
    assert server.at[1] - server.at[0] >= 1.0


def test_a_wish_beyond_the_deadline_is_handed_to_the_caller() -> None:
    server = Server(refusal(429, "TooManyRequests", "slow down", Retry_After="40"))

    async def whole() -> None:
        async with server.running() as client:
            with pytest.raises(Unavailable) as caught:
                await CALLS["get"](client)
            assert caught.value.retry_after == 40

    asyncio.run(whole())
    assert len(server.asked) == 1


@pytest.mark.parametrize("header", ["soon", "-3", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_wish_that_is_no_number_of_seconds_harms_nothing(header: str) -> None:
    calls(
        refusal(503, "ServiceUnavailable", "", Retry_After=header), answer(200), call=CALLS["get"]
    )


def test_a_server_that_hangs_costs_no_more_than_the_deadline() -> None:
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer"):
        calls(hang, call=CALLS["get"], deadline=0.3)
    assert time.monotonic() - begin < 2


def test_no_server_at_all_is_unavailable() -> None:
    async def whole() -> None:
        async with Client(Credentials(server="http://127.0.0.1:1")) as client:
            with pytest.raises(Unavailable, match="did not answer"):
                await client.get(PODS, "ns", "x")

    asyncio.run(whole())


@pytest.mark.parametrize("text", ["<html>a proxy</html>", "[]", "", '{"half'])
def test_an_answer_that_is_no_object_is_never_taken_for_one(text: str) -> None:
    async def wrong(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text)

    with pytest.raises(Unavailable, match="no JSON object"):
        calls(wrong, call=CALLS["get"])


def test_a_create_whose_answer_was_lost_is_seen_to_have_happened() -> None:
    with pytest.raises(AlreadyExists):
        calls(
            hang_up,
            refusal(409, "AlreadyExists", 'pods "x" already exists'),
            call=CALLS["create"],
        )


def test_a_create_that_lost_a_race_for_the_quota_is_tried_again() -> None:
    server = calls(
        refusal(409, "Conflict", "Operation cannot be fulfilled on resourcequotas"),
        answer(201),
        call=CALLS["create"],
    )
    assert len(server.asked) == 2


def test_an_update_whose_answer_was_lost_is_a_conflict_and_not_done_twice() -> None:
    server = Server(hang_up, refusal(409, "Conflict", "the object has been modified"))

    async def whole() -> None:
        async with server.running() as client:
            with pytest.raises(Conflict):
                await CALLS["status"](client)

    asyncio.run(whole())
    assert len(server.asked) == 2
    assert all(body["metadata"]["resourceVersion"] == "1" for body in server.bodies)


def test_a_conflict_on_delete_is_a_namesake_only_if_the_uid_says_so() -> None:
    other = {"metadata": {"uid": "other"}}
    conflict = refusal(409, "Conflict", "Precondition failed")

    async def whole() -> None:
        async with Server(conflict, answer(200, other)).running() as client:
            assert not await client.delete(PODS, "ns", "x", uid="u")
        async with Server(conflict, refusal(404, "NotFound", "")).running() as client:
            assert not await client.delete(PODS, "ns", "x", uid="u")
        async with Server(conflict, answer(200, GOOD)).running() as client:
            with pytest.raises(Conflict):
                await client.delete(PODS, "ns", "x", uid="u")

    asyncio.run(whole())


def page(names: str, more: str = "") -> Answer:
    items = [{"metadata": {"name": name}} for name in names]
    return answer(200, {"metadata": {"continue": more}, "items": items})


def test_a_listing_that_expires_half_way_begins_anew_and_gives_no_item_twice() -> None:
    expired = refusal(410, "Expired", "The provided continue parameter is too old")
    server = Server(page("ab", "next"), expired, page("abcd"))
    found: list[Any] = []

    async def whole() -> None:
        async with server.running() as client:
            found.extend(await client.list_all(PODS, labels="a=b", limit=2))

    asyncio.run(whole())
    assert [item["metadata"]["name"] for item in found] == list("abcd")
    queries = [dict(request.query) for request in server.asked]
    assert queries[0] == {"labelSelector": "a=b", "limit": "2"}
    assert queries[1] == {**queries[0], "continue": "next"}
    assert queries[2] == {"labelSelector": "a=b"}


def test_no_more_requests_are_in_flight_than_there_are_slots_over_as_few_connections() -> None:
    now = most = 0

    async def slow(request: web.Request) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return web.json_response(GOOD)

    server = Server(slow)

    async def whole() -> None:
        async with server.running(slots=3) as client:
            await asyncio.gather(*(client.get(PODS, "ns", "x") for _ in range(30)))

    asyncio.run(whole())
    assert most == 3
    assert len(server.peers) == 3


def test_a_long_wait_for_a_slot_is_not_held_against_a_request() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return web.json_response(GOOD)

    async def whole() -> None:
        async with Server(slow).running(slots=1, deadline=0.3) as client:
            await asyncio.gather(*(client.get(PODS, "ns", "x") for _ in range(12)))

    asyncio.run(whole())


def test_a_redirect_is_never_followed_with_our_token() -> None:
    server = Server(answer(302, {}, Location="/elsewhere"), answer(200))

    async def whole() -> None:
        async with server.running(token="abc") as client:
            with pytest.raises(Refused, match="answered 302"):
                await client.get(PODS, "ns", "x")

    asyncio.run(whole())
    assert len(server.asked) == 1


def test_a_request_that_waits_for_its_next_try_holds_up_no_other() -> None:
    server = Server(refusal(429, "TooManyRequests", "", Retry_After="1"), answer(200))

    async def whole() -> None:
        async with server.running(slots=1) as client:
            first = asyncio.ensure_future(client.get(PODS, "ns", "a"))
            await asyncio.sleep(0.1)
            begin = time.monotonic()
            await client.get(PODS, "ns", "b")
            assert time.monotonic() - begin < 0.5
            await first

    asyncio.run(whole())


def test_a_token_that_was_replaced_on_disk_is_used_from_the_next_request(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    server = Server(answer(200))

    async def whole() -> None:
        async with server.running(token=TokenFile(file)) as client:
            await client.get(PODS, "ns", "x")
            (tmp_path / "new").write_text("new\n")
            (tmp_path / "new").replace(file)
            await client.get(PODS, "ns", "x")
            file.unlink()
            await client.get(PODS, "ns", "x")

    asyncio.run(whole())
    shown = [request.headers["Authorization"] for request in server.asked]
    assert shown == ["Bearer old", "Bearer new", "Bearer new"]


def test_the_server_is_told_who_asks_and_names_cannot_leave_their_place_in_the_path() -> None:
    server = calls(answer(200), call=lambda client: client.get(PODS, "a/b?c", "../x"))
    assert server.asked[0].raw_path == "/api/v1/namespaces/a%2Fb%3Fc/pods/..%2Fx"
    assert server.asked[0].headers["User-Agent"].startswith("lmjob-operator/")


def test_every_try_is_counted_by_verb_kind_and_code() -> None:
    def count(code: str) -> float:
        labels = {"verb": "create", "kind": "configmaps", "code": code}
        return metrics.REGISTRY.get_sample_value("lmjob_api_requests_total", labels) or 0.0

    before = {code: count(code) for code in ("none", "500", "201")}
    calls(
        hang_up,
        refusal(500, "InternalError", ""),
        answer(201),
        call=lambda client: client.create(CONFIG_MAPS, "ns", {}),
    )
    assert {code: count(code) - before[code] for code in before} == {
        "none": 1,
        "500": 1,
        "201": 1,
    }


def test_a_cancelled_request_ends_at_once_and_frees_its_slot() -> None:
    server = Server(hang, answer(200))

    async def whole() -> None:
        async with server.running(slots=1) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get(PODS, "ns", "x"), 0.1)
            assert await client.get(PODS, "ns", "x") == GOOD

    asyncio.run(whole())
