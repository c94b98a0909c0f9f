"""kopf as the source of events, and nothing more: no finalizer, annotation, timer or index of its
own. The only module that starts kopf; supervised, because kopf ends on some answers of a watch.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import kopf

from lmjob.api.names import GROUP, LABEL_MANAGED_BY, MANAGER, PLURAL, VERSION
from lmjob.kube.credentials import Credentials
from lmjob.kube.desk import PODS_OF_OURS, Desk
from lmjob.kube.kinds import JOBS, PODS
from lmjob.kube.session import Session
from lmjob.kube.stateless import NoDiffs, NoProgress

RESTART_SECONDS = 1.0
"""Between the end of kopf and its next start, more or less."""

WORKER_SECONDS = 0.05
"""kopf keeps a task for each object that it heard of so recently."""

_log = logging.getLogger(__name__)


async def watch(
    desk: Desk,
    credentials: Credentials,
    namespaces: tuple[str, ...],
    *,
    listed: Callable[[], None],
    stop: Callable[[], None],
) -> None:
    """Feed the desk with changes until cancelled; `listed` is called when a watch has begun: what
    was there before is for a resync. kopf takes the signals of the process to itself; `stop` is
    called when one of them ended it."""
    while True:
        try:
            await kopf.operator(
                registry=_registry(desk, credentials, listed),
                settings=_settings(),
                standalone=True,
                clusterwide=not namespaces,
                namespaces=namespaces,
            )
        except Exception:
            _log.exception("the watch ended; it starts again")
        else:
            stop()
            return
        await asyncio.sleep(RESTART_SECONDS * random.uniform(0.5, 1.5))


def _registry(
    desk: Desk, credentials: Credentials, listed: Callable[[], None]
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    async def login(**_: Any) -> kopf.AiohttpSession:
        session: Any = Session(credentials, (JOBS.plural, PODS.plural), listed)
        return kopf.AiohttpSession(
            server=credentials.server,
            default_namespace=credentials.namespace,
            aiohttp_session=session,
        )

    async def job(type: str | None, event: Any, **_: Any) -> None:
        desk.job_event(type, dict(event["object"]))

    async def pod(type: str | None, event: Any, **_: Any) -> None:
        desk.pod_event(type, dict(event["object"]))

    kopf.on.login(registry=registry)(login)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(job)
    kopf.on.event("v1", "pods", labels={LABEL_MANAGED_BY: MANAGER}, registry=registry)(pod)
    return registry


class _Backoffs:
    """Endless: kopf gives up, and ends, when its list of pauses is used up."""

    def __iter__(self) -> Iterator[float]:
        return (
            min(10.0, 0.2 * 2.0 ** min(number, 10)) * random.uniform(0.5, 1.0)
            for number in itertools.count()
        )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.request_timeout = 15
    settings.networking.connect_timeout = 5
    settings.watching.label_selectors["pods"] = PODS_OF_OURS
    settings.queueing.exit_timeout = 0.5
    settings.queueing.idle_timeout = WORKER_SECONDS
    settings.persistence.diffbase_storage = NoDiffs()
    settings.persistence.progress_storage = NoProgress()
    return settings
