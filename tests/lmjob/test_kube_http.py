"""What the operator tells the kubelet and Prometheus about itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from lmjob.kube import metrics
from lmjob.kube.health import Health
from lmjob.kube.http import serve


class Clock:
    now = 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(resync_bound=100, look_bound=50, clock=lambda: clock.now)


def test_standing_by_is_alive_as_long_as_the_lease_is_looked_at(
    health: Health, clock: Clock
) -> None:
    for _ in range(5):
        clock.now += 45
        assert health.complaint() == ""
        health.looked()
    clock.now += 51
    assert "look at the lease was 51 s ago; at most 50 s" in health.complaint()


def test_a_leader_is_alive_by_its_resyncs_and_not_by_its_renewals(
    health: Health, clock: Clock
) -> None:
    clock.now = 40
    with health.leading():
        clock.now += 90
        assert health.complaint() == ""
        health.resynced()
        for _ in range(11):
            clock.now += 10
            health.looked()
        assert "listing of all jobs was 110 s ago" in health.complaint()
    assert health.complaint() == ""


def test_a_resync_that_ends_after_the_reign_counts_for_nothing(
    health: Health, clock: Clock
) -> None:
    clock.now = 60
    health.resynced()
    assert health.complaint()


def fetched(health: Health, path: str) -> tuple[int, str]:
    async def fetch() -> tuple[int, str]:
        async with (
            serve(health, 0, "127.0.0.1") as port,
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    return asyncio.run(fetch())


def test_the_kubelet_ends_a_process_that_no_longer_sees_the_cluster(
    health: Health, clock: Clock
) -> None:
    assert fetched(health, "/healthz") == (200, "ok")
    clock.now = 51
    code, text = fetched(health, "/healthz")
    assert code == 503
    assert "51 s ago" in text


def test_ready_is_who_stands_by_or_leads(health: Health, clock: Clock) -> None:
    assert fetched(health, "/readyz")[0] == 503
    health.looked()
    assert fetched(health, "/readyz") == (200, "ok")


def test_a_port_that_is_taken_is_an_error_at_once(health: Health) -> None:
    async def twice() -> None:
        async with serve(health, 0, "127.0.0.1") as port:
            with pytest.raises(OSError, match="address already in use"):
                await _enter(serve(health, port, "127.0.0.1"))

    async def _enter(block: AsyncIterator[int]) -> None:
        async with block:  # type: ignore[attr-defined]
            raise AssertionError("two servers on one port")

    asyncio.run(twice())


def test_prometheus_reads_every_figure(health: Health) -> None:
    metrics.set_jobs({"Running": 3, "Complete": 1})
    metrics.watch_queue(lambda: 7, lambda: 1.5)
    metrics.observe_reconcile(0.02)
    metrics.count_failure()
    metrics.count_request("create", "pods", "201")
    metrics.count_restart("NodeLost")
    metrics.first_step(12.0)
    metrics.set_leading(True)
    code, text = fetched(health, "/metrics")
    assert code == 200
    for line in (
        'lmjob_jobs{state="Running"} 3.0',
        "lmjob_queue_depth 7.0",
        "lmjob_queue_oldest_seconds 1.5",
        "lmjob_leader 1.0",
    ):
        assert f"\n{line}\n" in text
    for start in (
        'lmjob_reconcile_seconds_bucket{le="0.025"}',
        "lmjob_reconcile_failures_total",
        'lmjob_api_requests_total{code="201",kind="pods",verb="create"}',
        'lmjob_restarts_total{reason="NodeLost"}',
        'lmjob_create_to_first_step_seconds_bucket{le="20.0"}',
        "process_resident_memory_bytes",
    ):
        assert f"\n{start}" in text


def test_a_state_without_jobs_is_gone_from_the_figures() -> None:
    metrics.set_jobs({"Running": 3})
    metrics.set_jobs({"Complete": 1})
    assert metrics.REGISTRY.get_sample_value("lmjob_jobs", {"state": "Running"}) is None
    assert metrics.REGISTRY.get_sample_value("lmjob_jobs", {"state": "Complete"}) == 1
