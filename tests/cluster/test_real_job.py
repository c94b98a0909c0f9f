"""`helm install`, `kubectl apply -f two-workers.yaml`: a job in real pods on two nodes; and what
becomes of jobs while the operator is upgraded, removed or killed."""

from __future__ import annotations

import time

import pytest

from tests.cluster.real.alone import weights_alone
from tests.cluster.real.example import STEPS, example, long_example
from tests.cluster.real.faults import prefers
from tests.cluster.real.processes import kill_operator
from tests.cluster.real.run import Run

TAKE_OVER_SECONDS = 20
pytestmark = [pytest.mark.slow]

STEPS_OF_AN_UPGRADE = 4 * STEPS
"""Helm takes its time: the job must still run when the chart is gone."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights of `lmjob run` of the same file."""
    return weights_alone(example(), tmp_path_factory.mktemp("alone"))


def test_the_example_reaches_complete_on_two_nodes_with_the_weights_of_lmjob_run(
    machine, site, alone
):
    job = example()
    job["spec"]["master"] = {"affinity": prefers(1)}
    job["spec"]["workers"]["affinity"] = prefers(2)
    run = Run(machine, site, job)
    run.apply()
    nodes, words = set(), set()

    def complete():
        nodes.update(nodes_of_group(run))
        words.update(columns(run)[1:2])
        return run.holds("Complete")

    run.wait(complete, 120, "completion")
    run.wait_until_complete(5)
    assert run.weights() == alone
    assert nodes == {"node-1", "node-2"}
    assert {"MasterStarting", "WorkersStarting", "Running"} <= words
    assert columns(run)[1:5] == ["Finished", "evaluate", "main", "30"]


def test_upgrade_and_uninstall_leave_running_jobs_and_data_alone(machine, site, release, tmp_path):
    job = slow_example(STEPS_OF_AN_UPGRADE)
    undisturbed = weights_alone(job, tmp_path / "alone")
    run = Run(machine, site, job)
    run.apply()
    run.wait_for_step(3)
    group = uids(run)
    assert len(group) == 3
    release.install(**{"podAnnotations.upgraded": "yes"})
    assert uids(run) == group
    release.uninstall()
    try:
        assert uids(run) == group
        assert run.steps() < STEPS_OF_AN_UPGRADE
        run.wait(
            lambda: run.steps() == STEPS_OF_AN_UPGRADE, 180, "end of training without an operator"
        )
        assert run.body(), "the definition stays, and every job with it"
        assert uids(run) == group
        assert not run.holds("Complete")
    finally:
        release.install()
    run.wait_until_complete(120)
    assert run.weights() == undisturbed
    assert [step for step, _ in run.losses()] == list(range(1, STEPS_OF_AN_UPGRADE + 1))
    assert run.status()["attempt"] == 1
    assert run.status()["restarts"] == 0


def test_a_standby_takes_over_when_the_leader_is_deleted(machine, site, release):
    run = take_over(machine, site, release, lambda leader: None)
    run.wait(lambda: shows_progress(run), 90, "progress in the columns of `kubectl get lmj`")


def test_a_standby_takes_over_when_the_leader_dies_without_a_word(machine, site, release):
    take_over(machine, site, release, kill_operator)


def take_over(machine, site, release, kill):
    """A job applied while there was no leader. Another one leads in time, and begins it."""
    leader = release.leader()
    began = time.monotonic()
    kill(leader)
    end = ("delete", "pod", leader, "--grace-period=1", "--wait=false")
    machine.kubectl("-n", "lmjob-system", *end)
    run = Run(machine, site, slow_example(STEPS_OF_AN_UPGRADE))
    run.apply()
    left = began + TAKE_OVER_SECONDS - time.monotonic()
    run.wait(lambda: release.leader() not in (leader, None), left, "other leader")
    run.wait(run.pods, 5, "pod of a new job")
    return run


def slow_example(steps=STEPS):
    """The same weights, but a checkpoint after every step."""
    job = long_example()
    job["spec"]["checkpoint"]["everySteps"] = 1
    job["spec"]["phases"][0]["steps"] = steps
    return job


def columns(run):
    """Name, status, stage, phase, step, loss, ... as `kubectl get lmj` shows them."""
    return run.kubectl("get", "lmj", run.name, "--no-headers").split()


def shows_progress(run):
    shown = columns(run)
    return shown[1:4] == ["Running", "train", "main"] and int(shown[4]) > 0 < float(shown[5]) < 20


def nodes_of_group(run):
    """Where the master and the workers are."""
    group = [p for p in run.pods() if p["metadata"]["labels"][ROLE] in ("master", "worker")]
    return {p["spec"]["nodeName"] for p in group if p["spec"].get("nodeName")}


def uids(run):
    """Of all pods of the job but that of `prepare`, which may be gone."""
    group = (p["metadata"] for p in run.pods())
    return {meta["uid"] for meta in group if meta["labels"][ROLE] in ("master", "worker")}


ROLE = "lmtraining.dev/role"
