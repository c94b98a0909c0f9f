"""What the operator answers over HTTP: /healthz, /readyz, /metrics. Caller: `lmjob.kube.main`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lmjob.kube import metrics
from lmjob.kube.health import Health


@contextlib.asynccontextmanager
async def serve(health: Health, port: int, host: str | None = None) -> AsyncIterator[int]:
    """Answer on this port (0: any free one) while the block runs; gives the port. `host` None is
    every address of the machine. Raises OSError if the port is taken."""
    runner = web.AppRunner(_application(health), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _application(health: Health) -> web.Application:
    async def healthz(request: web.Request) -> web.Response:
        complaint = health.complaint()
        return web.Response(status=503 if complaint else 200, text=complaint or "ok")

    async def readyz(request: web.Request) -> web.Response:
        if health.ready:
            return web.Response(text="ok")
        return web.Response(status=503, text="the lease was not looked at yet")

    async def figures(request: web.Request) -> web.Response:
        body = generate_latest(metrics.REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", figures)
    return application
