"""When a status that claims nothing is written: not for every state that passes."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from lmjob.core.memory import Memory
from lmjob.kube.acts import Acts
from lmjob.kube.fetch import Fetch
from lmjob.kube.reports import (
    BUSY_HELP_SECONDS,
    BUSY_WRITE_SECONDS,
    WRITE_SECONDS,
    Reports,
)
from lmjob.kube.view import View


class Written:
    def __init__(self) -> None:
        self.statuses: list[Any] = []

    async def write(self, view: View, memory: Memory, status: Any) -> None:
        self.statuses.append(status)


def reported(reason: str, *, busy: bool, after: float) -> tuple[bool, float | None]:
    """Whether a status is written so many seconds after the last one, and when to try again."""
    meta = {"name": "job", "namespace": "team", "uid": "u-1", "resourceVersion": "1"}
    view, acts = View("team/job", {"metadata": meta}), Written()
    view.written_at = time.time() - after
    reports = Reports(cast(Acts, acts), cast(Fetch, None), lambda: busy)
    status = {"conditions": [{"type": "Ready", "status": "False", "reason": reason}]}
    again = asyncio.run(reports.report(view, Memory(), status))
    return bool(acts.statuses), again


@pytest.mark.parametrize(
    ("reason", "busy", "spacing"),
    [
        ("WorkersStarting", False, WRITE_SECONDS),
        ("WorkersStarting", True, BUSY_WRITE_SECONDS),
        ("ImagePull", True, BUSY_HELP_SECONDS),
        ("QuotaExceeded", True, BUSY_HELP_SECONDS),
    ],
)
def test_news_wait_longer_while_many_jobs_begin_but_not_those_that_need_somebody(
    reason: str, busy: bool, spacing: float
) -> None:
    assert reported(reason, busy=busy, after=spacing + 0.1) == (True, None)
    written, again = reported(reason, busy=busy, after=spacing - 1.0)
    assert not written
    assert again is not None
    assert time.time() < again <= time.time() + WRITE_SECONDS, "it may be calm by then"
