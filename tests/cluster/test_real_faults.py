"""Whatever happens to pods, nodes and the control plane, a job in real pods ends with the very
weights of an undisturbed `lmjob run`, and loses no more than one checkpoint interval."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.cluster.real.alone import weights_alone
from tests.cluster.real.faults import FAULTS, Fault, prefers
from tests.cluster.real.recovery import recovery
from tests.cluster.real.run import Run

EXAMPLE = Path(__file__).parents[2] / "manifests/examples/two-workers.yaml"
EVERY = 10
STEPS = 80
STRIKE_AT = range(int(0.3 * STEPS), int(0.6 * STEPS) + 1)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def document(fault: Fault | None = None):
    """The example, longer, on the nodes where the fault shall find it."""
    job = yaml.safe_load(EXAMPLE.read_text())
    job["metadata"]["name"] = "train"
    spec = job["spec"]
    spec["phases"][0]["steps"] = STEPS
    spec["checkpoint"] = {"everySteps": EVERY}
    if fault is not None:
        spec["master"] = {"affinity": prefers(fault.master_on)}
        spec["workers"]["affinity"] = prefers(fault.workers_on)
    return job


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return weights_alone(document(), tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_the_job_ends_with_the_undisturbed_weights(
    fault, undisturbed, machine, site, seen, recoveries
):
    run = Run(machine, site, document(fault))
    with ExitStack() as stack:
        at, step = time.time(), 0
        if fault.from_the_start:
            stack.enter_context(fault.strike(run))
        run.apply()
        if not fault.from_the_start:
            run.wait_for_step(STRIKE_AT.start)
            at, step = time.time(), run.steps()
            assert step in STRIKE_AT, "between 30 and 60 % of the steps"
            stack.enter_context(fault.strike(run))
        run.wait_until_complete(150)
    found = recovery(fault.name, at, step, run, seen)
    recoveries.append(found)
    print(found)
    assert run.weights() == undisturbed
    assert [step for step, _ in run.losses()] == list(range(1, STEPS + 1)), "each step once"
    assert all(len(attempts) <= 1 for attempts in seen.live), "two attempts were live at once"
    assert found.attempts == fault.attempts
    assert found.lost_steps <= EVERY
    assert run.status()["lostSteps"] <= EVERY
    assert (run.status().get("lastFault") or {}).get("reason") in (fault.causes or (None,))
