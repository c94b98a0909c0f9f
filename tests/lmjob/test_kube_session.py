"""What kopf's requests become: listings bring nothing, watches everything, tokens are fresh."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web

from lmjob.kube.credentials import Credentials, TokenFile
from lmjob.kube.session import NOBODY, Session


def asked(token: TokenFile, *paths: str) -> tuple[list[Any], int]:
    """The requests that reached the server, and how often a listing was told of."""
    found: list[Any] = []
    told: list[None] = []

    async def answer(request: web.Request) -> web.Response:
        found.append((request.path, dict(request.query), request.headers.get("Authorization")))
        return web.json_response({})

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server = f"http://127.0.0.1:{runner.addresses[0][1]}"
        credentials = Credentials(server=server, token=token)
        session = Session(credentials, ("pods",), lambda: told.append(None))
        try:
            for path in paths:
                await (await session.request("get", server + path)).read()
        finally:
            await session.close()
            await runner.cleanup()

    asyncio.run(main())
    return found, len(told)


def test_a_listing_fetches_no_object_and_a_watch_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc")
    found, listings = asked(
        TokenFile(tmp_path / "token"),
        "/api/v1/pods?labelSelector=a%3Db",
        "/api/v1/namespaces/team/pods?watch=true&labelSelector=a%3Db&resourceVersion=7",
        "/api/v1",
    )
    assert [(path, query) for path, query, _ in found] == [
        ("/api/v1/pods", {"labelSelector": "a=b", "fieldSelector": NOBODY}),
        (
            "/api/v1/namespaces/team/pods",
            {"watch": "true", "labelSelector": "a=b", "resourceVersion": "7"},
        ),
        ("/api/v1", {}),
    ]
    assert listings == 1
    assert {token for *_, token in found} == {"Bearer abc"}
