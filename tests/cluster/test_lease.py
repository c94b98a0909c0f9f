"""One leader at a time, and never long without one: elections on a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lmjob.kube.client import Client
from lmjob.kube.credentials import Credentials
from lmjob.kube.kinds import LEASES
from lmjob.kube.lease import LeadershipError, LeaseSettings, elect
from tests.cluster.reach import Wire, credentials, needs_api_server, until

pytestmark = needs_api_server()

SECONDS = 2.0
SLACK = 0.5
"""For requests, on a busy machine."""


@pytest.fixture
def name() -> Iterator[str]:
    """Of a lease that no other test knows; removed afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name

    async def remove() -> None:
        async with Client(credentials()) as client:
            lease = await client.get(LEASES, "default", name)
            if lease is not None:
                await client.delete(LEASES, "default", name, uid=lease["metadata"]["uid"])

    asyncio.run(remove())


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


@dataclass
class Reign:
    """When a candidate led. Written by its work, so it lasts until that has ended."""

    identity: str
    began: float
    ended: float | None = None


@dataclass
class Candidate:
    identity: str
    reigns: list[Reign]
    ends_in: float = 0.0
    """Seconds that its work takes to end."""
    looks: int = 0
    task: asyncio.Future[None] | None = None

    @property
    def leads(self) -> bool:
        mine = [reign for reign in self.reigns if reign.identity == self.identity]
        return bool(mine) and mine[-1].ended is None

    async def work(self) -> None:
        reign = Reign(self.identity, time.monotonic())
        self.reigns.append(reign)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self.ends_in)
            reign.ended = time.monotonic()

    def looked(self) -> None:
        self.looks += 1

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@contextlib.asynccontextmanager
async def standing(
    name: str,
    identity: str,
    reigns: list[Reign],
    *,
    through: Credentials | None = None,
    work: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Candidate]:
    """A candidate in this process; at the end it is stopped, and what it raised is raised."""
    candidate = Candidate(identity, reigns)
    settings = LeaseSettings(namespace="default", name=name, identity=identity, seconds=SECONDS)
    async with Client(through or credentials(), slots=2) as client:
        election = elect(client, settings, work or candidate.work, on_look=candidate.looked)
        candidate.task = asyncio.ensure_future(election)
        try:
            yield candidate
        finally:
            await candidate.stop()


def test_the_first_candidate_leads_and_the_second_stands_by_while_it_renews(name: str) -> None:
    async def test() -> None:
        reigns: list[Reign] = []
        async with standing(name, "a", reigns) as first, standing(name, "b", reigns) as second:
            await until(lambda: first.leads or second.leads, SECONDS)
            await asyncio.sleep(2 * SECONDS)
            assert len(reigns) == 1
            assert reigns[0].ended is None
            assert min(first.looks, second.looks) >= 5

    run(test())


def test_a_killed_leader_is_followed_within_the_bound_and_not_before(name: str) -> None:
    async def test() -> None:
        script = Path(__file__).with_name("run_candidate.py")
        leader = await asyncio.create_subprocess_exec(
            sys.executable, script, name, "a", str(SECONDS), stdout=asyncio.subprocess.PIPE
        )
        assert leader.stdout is not None
        assert await leader.stdout.readline() == b"leads\n"
        reigns: list[Reign] = []
        async with standing(name, "b", reigns) as second:
            await asyncio.sleep(SECONDS)
            assert not second.leads
            leader.send_signal(signal.SIGKILL)
            await leader.wait()
            waited = await until(lambda: second.leads, 1.2 * SECONDS + SLACK)
            assert waited >= SECONDS - SECONDS / 5 - SLACK

    run(test())


def test_a_leader_that_shuts_down_hands_over_at_once_after_its_work_has_ended(name: str) -> None:
    async def test() -> None:
        reigns: list[Reign] = []
        async with standing(name, "a", reigns) as first:
            await until(lambda: first.leads, SECONDS)
            async with standing(name, "b", reigns) as second:
                await until(lambda: second.looks > 1, SECONDS)
                first.ends_in = 0.5
                await first.stop()
                assert await until(lambda: second.leads, SECONDS) < SECONDS / 10 + SLACK
        assert reigns[0].ended is not None
        assert reigns[0].ended <= reigns[1].began

    run(test())


def test_the_same_identity_takes_its_lease_back_at_once(name: str) -> None:
    async def test() -> None:
        reigns: list[Reign] = []
        async with Wire(credentials()).laid() as wire:
            async with standing(name, "a", reigns, through=wire.credentials) as first:
                await until(lambda: first.leads, SECONDS)
                wire.cut()  # so that it cannot release
            async with standing(name, "a", reigns):
                assert await until(lambda: len(reigns) == 2, SECONDS) < SLACK

    run(test())


def test_a_leader_without_an_api_server_stops_before_another_can_lead(name: str) -> None:
    async def test() -> None:
        reigns: list[Reign] = []
        async with (
            Wire(credentials()).laid() as wire,
            standing(name, "a", reigns, through=wire.credentials) as first,
        ):
            await until(lambda: first.leads, SECONDS)
            async with standing(name, "b", reigns) as second:
                await until(lambda: second.looks > 1, SECONDS)
                wire.cut()
                stopped = await until(lambda: not first.leads, SECONDS)
                assert stopped <= SECONDS * 2 / 3 + SLACK / 2
                assert not second.leads
                await until(lambda: second.leads, SECONDS)
                wire.mend()
                await asyncio.sleep(SECONDS)
                assert second.leads
                assert not first.leads

    run(test())


def test_a_short_loss_of_the_api_server_deposes_nobody(name: str) -> None:
    async def test() -> None:
        reigns: list[Reign] = []
        async with (
            Wire(credentials()).laid() as wire,
            standing(name, "a", reigns, through=wire.credentials) as first,
        ):
            await until(lambda: first.leads, SECONDS)
            async with standing(name, "b", reigns):
                for _ in range(3):
                    wire.cut()
                    await asyncio.sleep(SECONDS / 5)
                    wire.mend()
                    await asyncio.sleep(SECONDS / 2)
                assert len(reigns) == 1
                assert first.leads

    run(test())


def test_a_dead_connection_deposes_nobody_while_the_api_server_can_be_reached(name: str) -> None:
    async def test() -> None:
        reigns: list[Reign] = []
        async with (
            Wire(credentials()).laid() as wire,
            standing(name, "a", reigns, through=wire.credentials) as first,
        ):
            await until(lambda: first.leads, SECONDS)
            async with standing(name, "b", reigns):
                wire.lose_connections()
                await asyncio.sleep(1.5 * SECONDS)
                assert len(reigns) == 1
                assert first.leads

    run(test())


def test_candidates_whose_wires_break_at_random_never_lead_two_at_a_time(name: str) -> None:
    async def test() -> None:
        dice = random.Random(7)
        reigns: list[Reign] = []
        async with contextlib.AsyncExitStack() as stack:
            wires = []
            for identity in "abc":
                wire = await stack.enter_async_context(Wire(credentials()).laid())
                candidate = standing(name, identity, reigns, through=wire.credentials)
                await stack.enter_async_context(candidate)
                wires.append(wire)
            end = time.monotonic() + 8 * SECONDS
            while time.monotonic() < end or len(reigns) < 3:
                leaders = [
                    i for i, who in enumerate("abc") if reigns and reigns[-1].identity == who
                ]
                wire = wires[leaders[0] if leaders and dice.random() < 0.6 else dice.randrange(3)]
                wire.cut()
                await asyncio.sleep(dice.uniform(0.3, 1.0) * SECONDS)
                if dice.random() < 0.7:
                    wire.mend()
                else:
                    asyncio.get_running_loop().call_later(SECONDS, wire.mend)
            for wire in wires:
                wire.mend()
        ordered = sorted(reigns, key=lambda reign: reign.began)
        assert len(ordered) >= 3
        for before, after in itertools.pairwise(ordered):
            assert before.ended is not None
            assert before.ended <= after.began

    run(test())


def test_the_record_tells_people_who_leads_since_when_and_how_often_it_changed(name: str) -> None:
    async def test() -> None:
        reigns: list[Reign] = []
        async with Client(credentials(), slots=2) as client:
            for identity in "ab":
                async with standing(name, identity, reigns) as candidate:
                    await until(lambda who=candidate: who.leads, SECONDS)
                    lease = await client.get(LEASES, "default", name)
                    assert lease is not None
                    spec = lease["spec"]
                    assert spec["holderIdentity"] == identity
                    assert spec["leaseDurationSeconds"] == SECONDS
            assert spec["leaseTransitions"] == 1
            lease = await client.get(LEASES, "default", name)
            assert lease is not None
            assert not lease["spec"].get("holderIdentity")

    run(test())


def test_work_that_ends_releases_the_lease_and_its_failure_reaches_the_caller(name: str) -> None:
    async def broken() -> None:
        raise ValueError("broken work")

    async def test() -> None:
        reigns: list[Reign] = []
        async with standing(name, "a", reigns, work=broken) as first:
            assert first.task is not None
            with pytest.raises(ValueError, match="broken work"):
                await first.task
            async with standing(name, "b", reigns) as second:
                assert await until(lambda: second.leads, SECONDS) < SLACK

    run(test())


def test_work_that_does_not_stop_in_time_ends_the_process(name: str) -> None:
    async def stubborn() -> None:
        end = time.monotonic() + 2 * SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)

    async def test() -> None:
        async with (
            Wire(credentials()).laid() as wire,
            standing(name, "a", [], through=wire.credentials, work=stubborn) as first,
        ):
            await until(lambda: first.looks > 0, SECONDS)
            wire.cut()
            assert first.task is not None
            with pytest.raises(LeadershipError):
                await asyncio.wait_for(first.task, 2 * SECONDS)

    run(test())
