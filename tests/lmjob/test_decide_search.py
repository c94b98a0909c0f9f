"""Every small world: a leader and its followers, faults and crashes of the controller anywhere.

The world moves between any two steps of the controller, a controller may decide on what it saw
before the last move, and may die after any part of its acts. The invariants are those of the
reliability plan: I1 never two live attempts, I2 never a worker before its master, I3 never two of
one replica, I4 attempts only grow and are claimed first, I5 terminal is left by nothing, I6 success
only with proof; and from every state the job ends once faults stop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from lmjob.core.decide import Act, Claim, Decision, decide
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed, Replica
from lmjob.core.plan.shapes import JobPlan, ReplicaKey
from lmjob.core.policy import gang, startup, success
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Completion, Failure, Termination

LATE = 1e9
LONG_AGO = -10.0
"""Before `ECHO_SECONDS`, but not so long that a start is overdue."""


@dataclass(frozen=True)
class World:
    """All that matters for what may happen next."""

    memory: Memory
    replicas: frozenset[Replica]
    faults: int
    """Faults that may still happen."""
    suspend: bool = False
    ready_masters: frozenset[str] = frozenset()
    """uids of leaders that were ready once."""
    proven: frozenset[str] = frozenset()
    """Stages of which a leader ended with a record."""

    @property
    def observed(self) -> Observed:
        order = sorted(self.replicas, key=lambda r: (r.attempt, r.key, r.uid))
        return Observed(replicas=tuple(order), suspend=self.suspend)

    def with_replica(self, old: Replica, new: Replica | None, *, fault: bool = False) -> World:
        others = self.replicas - {old}
        ready = self.ready_masters
        if new is not None and new.state == "ready" and new.key.role != "worker":
            ready |= {new.uid}
        word = new.termination if new is not None else None
        record = word.completion if word is not None else None
        return dataclasses.replace(
            self,
            replicas=others | {new} if new else others,
            faults=self.faults - fault,
            ready_masters=ready,
            proven=self.proven | {record.stage} if record else self.proven,
        )


class BrokenInvariantError(AssertionError):
    pass


def check(holds: bool, invariant: str, world: World) -> None:
    if not holds:
        raise BrokenInvariantError(f"{invariant}: {world}")


def last_word(plan: JobPlan, replica: Replica, kind: ExitType, *, proof: bool) -> Termination:
    stage = next(s for s in plan.stages if replica.key in [r.key for r in s.replicas])
    record = Completion(
        stage=stage.name,
        job_uid=plan.job.uid,
        config_hash=plan.config_hash,
        position=stage.target,
        target=stage.target,
        manifest_sha256="ab",
    )
    return Termination(
        job_uid=plan.job.uid,
        attempt=replica.attempt,
        exit_type=kind.name,
        failure=None if kind is ExitType.SUCCEEDED else Failure(message=kind.name),
        completion=record if proof else None,
    )


def end(plan: JobPlan, replica: Replica, kind: ExitType, *, proof: bool = False) -> Replica:
    return dataclasses.replace(
        replica,
        state="succeeded" if kind is ExitType.SUCCEEDED else "failed",
        exit_code=kind.code,
        termination=last_word(plan, replica, kind, proof=proof),
    )


def leads(replica: Replica) -> bool:
    return replica.key.role != "worker"


def normal_moves(plan: JobPlan, world: World) -> Iterator[World]:
    """What happens without any fault."""
    for r in world.replicas:
        if r.state == "starting":
            yield world.with_replica(r, dataclasses.replace(r, state="ready"))
        elif r.state == "ready":
            yield world.with_replica(r, end(plan, r, ExitType.SUCCEEDED, proof=leads(r)))
        elif r.state == "terminating":
            yield world.with_replica(r, None)
            yield world.with_replica(r, end(plan, r, ExitType.INTERRUPTED))
            if leads(r):
                yield world.with_replica(r, end(plan, r, ExitType.SUCCEEDED, proof=True))
        elif r.state == "lost":
            yield world.with_replica(r, None)


def faulty_moves(plan: JobPlan, world: World) -> Iterator[World]:
    """What may happen once more."""
    for r in world.replicas:
        if not r.live:
            yield world.with_replica(r, None, fault=True)
            continue
        for kind in (ExitType.FAILED, ExitType.USER_ERROR, ExitType.PEER_LOST):
            yield world.with_replica(r, end(plan, r, kind), fault=True)
        killed = dataclasses.replace(r, state="failed", exit_code=-9)
        yield world.with_replica(r, killed, fault=True)
        yield world.with_replica(r, None, fault=True)
        if r.state != "terminating":
            yield world.with_replica(r, dataclasses.replace(r, state="lost"), fault=True)
            yield world.with_replica(r, dataclasses.replace(r, state="terminating"), fault=True)
        if leads(r):
            yield world.with_replica(r, end(plan, r, ExitType.SUCCEEDED), fault=True)
    yield dataclasses.replace(world, suspend=not world.suspend, faults=world.faults - 1)


def moves(plan: JobPlan, world: World) -> Iterator[World]:
    yield from normal_moves(plan, world)
    if world.faults:
        yield from faulty_moves(plan, world)


def without_times(memory: Memory) -> Memory:
    """Memories that differ in times only behave alike: back-offs pass, and lateness is a move."""
    fault = memory.last_fault and dataclasses.replace(memory.last_fault, at=0.0)
    return dataclasses.replace(
        memory,
        last_fault=fault,
        retry_at=0.0,
        noted_at=0.0,
        started_at=0.0,
        attempt_started_at=0.0,
        stage_started_at=0.0,
        group_since=LONG_AGO,
        finished_at=None,
    )


def claim(plan: JobPlan, world: World, memory: Memory) -> World:
    old = world.memory
    check(memory.attempt in (old.attempt, old.attempt + 1), "I4 attempts grow by one", world)
    check(not old.final, "I5 terminal is left by nothing", world)
    check(memory.restarts <= plan.max_restarts, "I4 restarts stay within the budget", world)
    if memory.attempt > old.attempt:
        live = [r for r in world.replicas if r.live]
        check(not live, "I1 an attempt is claimed after all before it ended", world)
    passed = memory.stage != old.stage or memory.outcome == "complete"
    if passed and old.attempt:
        check(old.stage in world.proven, "I6 a stage is done only with proof", world)
    if memory.outcome == "failed":
        check(memory.last_fault is not None, "I6 a failure names its cause", world)
    return dataclasses.replace(world, memory=without_times(memory))


def create(plan: JobPlan, world: World, key: ReplicaKey) -> World:
    attempt = world.memory.attempt
    stage = plan.stage(world.memory.stage)
    check(world.memory.outcome is None, "I5 terminal is left by nothing", world)
    check(attempt > 0, "I4 an attempt is claimed first", world)
    others = [r for r in world.replicas if r.live and r.attempt != attempt]
    check(not others, "I1 never two live attempts", world)
    group = {r.key for r in stage.replicas}
    foreign = [r for r in world.replicas if r.live and r.key not in group]
    check(not foreign, "I1 never two live stages", world)
    same = [r for r in world.replicas if (r.attempt, r.key) == (attempt, key)]
    if same:  # creating what is there is success: names are computed
        return world
    if key != stage.leader.key:
        masters = [r for r in world.replicas if r.key == stage.leader.key and r.attempt == attempt]
        was_ready = all(r.uid in world.ready_masters for r in masters)
        check(was_ready, "I2 never a worker before its master was ready", world)
    born = Replica(key=key, attempt=attempt, uid=f"{attempt}-{key}", state="starting")
    return dataclasses.replace(world, replicas=world.replicas | {born})


def delete(world: World, uid: str) -> World:
    for r in world.replicas:
        if r.uid == uid and r.live and r.state not in ("terminating", "lost"):
            return world.with_replica(r, dataclasses.replace(r, state="terminating"))
    return world


def apply(plan: JobPlan, world: World, decision: Decision) -> Iterator[World]:
    """The world after the decision, and after each part of it where the controller may die."""
    if isinstance(decision, Claim):
        yield claim(plan, world, decision.memory)
    elif isinstance(decision, Act):
        for uid in decision.delete:
            world = delete(world, uid)
            yield world
        for key in decision.create:
            world = create(plan, world, key)
            yield world


Controller = Callable[[JobPlan, Memory, Observed, float], Decision]


def controller_moves(
    plan: JobPlan, world: World, after: list[World], decide: Controller
) -> Iterator[World]:
    """Passes on what is there, passes that come late, and passes on what was there a move ago."""
    now = decide(plan, world.memory, world.observed, 0.0)
    yield from apply(plan, world, now)
    for moved in after:
        if moved.memory == world.memory:
            yield from apply(plan, moved, now)
    if world.faults:
        late = decide(plan, world.memory, world.observed, LATE)
        poorer = dataclasses.replace(world, faults=world.faults - 1)
        yield from apply(plan, poorer, late)


def explore(plan: JobPlan, faults: int, decide: Controller = decide) -> set[World]:
    """All reachable worlds; raises BrokenInvariantError at the first step that breaks one."""
    start = World(Memory(), frozenset(), faults)
    seen, frontier = {start}, [start]
    while frontier:
        world = frontier.pop()
        after = list(moves(plan, world))
        for following in (*after, *controller_moves(plan, world, after, decide)):
            if following not in seen:
                seen.add(following)
                frontier.append(following)
    return seen


def calm(plan: JobPlan, world: World) -> World:
    """One round without faults: every replica goes on, and the controller has one pass."""
    world = dataclasses.replace(world, suspend=False, faults=0)
    for replica in sorted(world.replicas, key=lambda r: r.uid):
        if replica.state == "ready" and leads(replica) and not group_is_ready(plan, world):
            continue
        one = World(world.memory, frozenset({replica}), 0)
        for moved in normal_moves(plan, one):
            new = next(iter(moved.replicas), None)
            world = world.with_replica(replica, new)
            break
    decision = decide(plan, world.memory, world.observed, 0.0)
    return [world, *apply(plan, world, decision)][-1]


def group_is_ready(plan: JobPlan, world: World) -> bool:
    stage = plan.stage(world.memory.stage)
    states = {r.key: r.state for r in world.replicas if r.attempt == world.memory.attempt}
    return all(states.get(r.key) in ("ready", "succeeded") for r in stage.replicas)


def assert_all_end(plan: JobPlan, worlds: set[World]) -> None:
    good: set[World] = set()
    for world in worlds:
        path = []
        while not (world.memory.final and not world.observed.live) and world not in good:
            path.append(world)
            assert len(path) < 80, f"does not end: {path[0]}"
            world = calm(plan, world)
        good.update(path)


@pytest.fixture
def one_restart(plan_of: Callable[..., JobPlan]) -> Callable[..., JobPlan]:
    def make(workers: int, *stages: str) -> JobPlan:
        return plan_of(workers=workers, stages=stages, max_restarts=1)

    return make


@pytest.mark.parametrize(
    ("workers", "stages", "faults"),
    [(1, ("train",), 2), (2, ("train",), 1), (1, ("prepare", "train", "evaluate"), 1)],
)
def test_no_world_breaks_an_invariant_and_all_end(
    one_restart: Callable[..., JobPlan], workers: int, stages: tuple[str, ...], faults: int
) -> None:
    plan = one_restart(workers, *stages)
    worlds = explore(plan, faults)
    outcomes = {world.memory.outcome for world in worlds}
    assert outcomes == {None, "complete", "failed", "suspended"}
    assert {world.memory.attempt for world in worlds} >= {0, 1, 2}
    assert_all_end(plan, worlds)


def started_when_running(replica: Replica | None) -> bool:
    return replica is not None and replica.state in ("starting", "ready", "succeeded")


def test_a_gate_that_opens_for_a_running_master_is_caught(
    one_restart: Callable[..., JobPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "has_started", started_when_running)
    with pytest.raises(BrokenInvariantError, match="I2"):
        explore(one_restart(1, "train"), 0)


def test_success_by_exit_code_is_caught(
    one_restart: Callable[..., JobPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_code(plan: JobPlan, seen: object) -> bool:
        leader = seen.leader  # type: ignore[attr-defined]
        return leader is not None and leader.state == "succeeded"

    monkeypatch.setattr(success, "proven", by_code)
    with pytest.raises(BrokenInvariantError, match="I6"):
        explore(one_restart(0, "train"), 1)


def test_taking_a_terminating_replica_for_an_ended_one_is_caught(
    one_restart: Callable[..., JobPlan],
) -> None:
    ended = property(lambda r: r.state not in ("succeeded", "failed", "terminating", "lost"))
    plan = one_restart(1, "train")

    def forgetful(plan: JobPlan, memory: Memory, observed: Observed, now: float) -> Decision:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Replica, "live", ended)
            return decide(plan, memory, observed, now)

    with pytest.raises(BrokenInvariantError, match="I1"):
        explore(plan, 1, forgetful)


def test_a_group_that_ignores_a_lost_follower_never_ends(
    one_restart: Callable[..., JobPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gang, "faults", lambda memory, seen, now: ())
    plan = one_restart(1, "train")
    worlds = explore(plan, 1)
    with pytest.raises(AssertionError, match="does not end"):
        assert_all_end(plan, worlds)
