"""One pass: a claim or an act, never both, and nothing is done or told for a claim that failed."""

from __future__ import annotations

from lmjob.core.decide import Act, Claim, Wait
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed
from lmjob.reconcile import Recalled, reconcile

NOW = 1000.0


class Journal:
    """A backend that writes down what it is asked."""

    def __init__(self, memory=None, observed=None, *, stale=False) -> None:
        self.memory = memory or Memory()
        self.observed = observed or Observed()
        self.stale = stale
        self.status = None
        self.calls = []
        self.told = []

    def recall(self):
        return Recalled(self.memory, self.status)

    def observe(self, memory):
        return self.observed

    def claim(self, before, after, status):
        self.calls.append("claim")
        if self.stale:
            return False
        assert before == self.memory
        self.memory, self.status = after, status
        return True

    def create(self, memory, keys):
        assert memory == self.memory
        self.calls.append(("create", [str(key) for key in keys]))

    def delete(self, uids, grace_seconds):
        self.calls.append(("delete", list(uids), grace_seconds))

    def report(self, status):
        self.status = status
        self.calls.append("report")

    def tell(self, told):
        self.told += [event.reason for event in told]


def test_a_claim_is_stored_with_its_status_in_one_write_and_nothing_else_is_done(plan_of):
    backend = Journal()
    assert isinstance(reconcile(plan_of(), backend, NOW), Claim)
    assert backend.calls == ["claim"]
    assert backend.memory.attempt == backend.status["attempt"] == 1
    assert backend.told == ["AttemptStarted"]


def test_a_claim_that_came_too_late_is_told_to_nobody(plan_of):
    backend = Journal(stale=True)
    reconcile(plan_of(), backend, NOW)
    assert (backend.memory, backend.told) == (Memory(), [])


def test_acts_are_carried_out_and_reported(plan_of, replica):
    memory = Memory(attempt=1, stage="train", group="gated")
    backend = Journal(memory)
    assert isinstance(reconcile(plan_of(), backend, 0.0), Act)
    assert backend.calls == [("delete", [], 0.0), ("create", ["master-0"]), "report"]
    final = Memory(attempt=1, stage="train", outcome="failed")
    backend = Journal(final, Observed(replicas=(replica("worker-0", "ready"),)))
    reconcile(plan_of(), backend, NOW)
    assert backend.calls == [("delete", ["1-worker-0"], 5.0), ("create", []), "report"]


def test_waiting_only_reports(plan_of):
    backend = Journal(Memory(attempt=1, stage="train", outcome="complete"))
    assert reconcile(plan_of(), backend, NOW) == Wait("Finished")
    assert backend.calls == ["report"]
