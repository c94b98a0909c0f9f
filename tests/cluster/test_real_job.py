"""`helm install`, `kubectl apply -f two-workers.yaml`: a job in real pods on two nodes; and what
becomes of jobs while the operator is upgraded, removed or killed."""

from __future__ import annotations

import time

import pytest

from tests.cluster.real.alone import weights_alone
from tests.cluster.real.example import STEPS, example, long_example
from tests.cluster.real.processes import kill_operator
from tests.cluster.real.run import Run

TAKE_OVER_SECONDS = 20
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights of `lmjob run` of the same file."""
    return weights_alone(example(), tmp_path_factory.mktemp("alone"))


def test_the_example_reaches_complete_on_two_nodes_with_the_weights_of_lmjob_run(
    machine, site, alone
):
    run = Run(machine, site, example())
    run.apply()
    nodes, rows = set(), set()

    def complete():
        nodes.update(nodes_of_group(run))
        rows.add(run.kubectl("get", "lmj", run.name, "--no-headers"))
        return run.holds("Complete")

    run.wait(complete, 120, "completion")
    run.wait_until_complete(5)
    assert run.weights() == alone
    assert len(nodes) == 2, "the group was spread over both nodes"
    shown = [row.split() for row in rows]
    assert {"Running", "Finished"} <= {row[1] for row in shown}
    training = [row for row in shown if row[2] == "train" and "main" in row]
    assert any(int(row[4]) > 0 and 0 < float(row[5]) < 20 for row in training), sorted(rows)
    last = run.kubectl("get", "lmj", run.name, "--no-headers").split()
    assert last[1] == "Finished"
    assert last[3:5] == ["main", "30"], "where training ended stays to be seen"


def test_upgrade_and_uninstall_leave_running_jobs_and_data_alone(
    machine, site, release, seen, long_alone
):
    run = Run(machine, site, long_example())
    run.apply()
    run.wait_for_step(5)
    group = uids(run)
    release.install(**{"podAnnotations.upgraded": "yes"})
    assert uids(run) == group
    release.uninstall()
    try:
        assert uids(run) == group
        at = run.steps()
        run.wait(lambda: run.steps() > at or at == STEPS, 60, "step without an operator")
        assert run.body(), "the definition stays, and every job with it"
        run.wait(lambda: run.steps() == STEPS, 120, "end of training without an operator")
        assert uids(run) == group
        assert not run.holds("Complete")
    finally:
        release.install()
    run.wait_until_complete(120)
    assert run.weights() == long_alone
    assert run.status()["attempt"] == 1
    assert run.status()["restarts"] == 0


def test_a_standby_takes_over_when_the_leader_is_deleted(machine, site, release):
    assert_taken_over(machine, site, release, lambda leader: None)


def test_a_standby_takes_over_when_the_leader_dies_without_a_word(machine, site, release):
    assert_taken_over(machine, site, release, kill_operator)


def assert_taken_over(machine, site, release, kill):
    """A job that is applied after the leader's end begins in time, by another leader."""
    leader = release.leader()
    kill(leader)
    machine.kubectl(
        "-n", "lmjob-system", "delete", "pod", leader, "--grace-period=1", "--wait=false"
    )
    began = time.monotonic()
    run = Run(machine, site, example())
    run.apply()
    run.wait(run.pods, TAKE_OVER_SECONDS, "pod of a new job")
    assert release.leader() not in (leader, None)
    print(f"taken over after {time.monotonic() - began:.1f} s")


def nodes_of_group(run):
    """Where the master and the workers are."""
    group = [p for p in run.pods() if p["metadata"]["labels"][ROLE] in ("master", "worker")]
    return {p["spec"]["nodeName"] for p in group if p["spec"].get("nodeName")}


def uids(run):
    """Of all pods of the job but that of `prepare`, which may be gone."""
    group = (p["metadata"] for p in run.pods())
    return {meta["uid"] for meta in group if meta["labels"][ROLE] in ("master", "worker")}


ROLE = "lmtraining.dev/role"
