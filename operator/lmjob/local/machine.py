"""Facts about this machine that a plan must know."""

from __future__ import annotations

from lmjob.core.plan import Facts
from lmtrainer.contract.machine import usable_cpus


def machine_facts() -> Facts:
    """Of this machine, as far as this process may use it."""
    return Facts(cpus=usable_cpus())
