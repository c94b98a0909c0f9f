"""Whatever happens to pods, nodes and the control plane, a job in real pods ends with the very
weights of an undisturbed `lmjob run`, and loses no more than one checkpoint interval."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.cluster.real.example import EVERY, STEPS, long_example
from tests.cluster.real.faults import FAULTS, prefers
from tests.cluster.real.recovery import recovery
from tests.cluster.real.run import Run

STRIKE_AT = range(int(0.3 * STEPS), int(0.6 * STEPS) + 1)
pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_the_job_ends_with_the_undisturbed_weights(
    fault, long_alone, machine, site, seen, recoveries
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
        run.wait_until_complete(240)
    found = recovery(fault.name, at, step, run, seen)
    recoveries.append(found)
    assert run.weights() == long_alone
    assert [step for step, _ in run.losses()] == list(range(1, STEPS + 1)), "each step once"
    assert all(len(attempts) <= 1 for attempts in seen.live), "two attempts were live at once"
    assert found.attempts == fault.attempts
    assert found.charged == 0, "there was a new checkpoint, or it was the platform's doing"
    assert found.lost_steps <= EVERY
    assert run.status()["lostSteps"] <= EVERY
    assert (run.status().get("lastFault") or {}).get("reason") in (fault.causes or (None,))


def document(fault):
    """The example, on the nodes where the fault shall find it."""
    job = long_example()
    job["spec"]["master"] = {"affinity": prefers(fault.master_on)}
    job["spec"]["workers"]["affinity"] = prefers(fault.workers_on)
    return job
