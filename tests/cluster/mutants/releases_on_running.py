"""A broken operator, to show that the test of the order bites: it takes a pod whose containers run
for one that is Ready."""

from __future__ import annotations

from lmjob.core.observed import Replica
from lmjob.core.policy import startup
from lmjob.kube.main import main as operator


def main() -> int:
    startup.has_started = _runs
    return operator()


def _runs(replica: Replica | None) -> bool:
    return replica is not None and replica.state in ("starting", "ready", "succeeded")


if __name__ == "__main__":
    raise SystemExit(main())
