"""What a process may use is what its container grants, not what the machine has."""

import os

import pytest

from lmtrainer.contract import machine
from lmtrainer.dataset import inputs


@pytest.mark.parametrize(
    ("cpus", "memory", "processes"),
    [("200000 100000", "max", 2), ("6400000 100000", str(2 << 30), 4), ("50000 100000", "1", 1)],
)
def test_processes_are_as_many_as_cpus_and_memory_allow(
    tmp_path, monkeypatch, cpus, memory, processes
):
    (tmp_path / "cpu.max").write_text(cpus + "\n")
    (tmp_path / "memory.max").write_text(memory + "\n")
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine, "_MEMORY", tmp_path / "memory.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 1 << 24))
    assert inputs._processes(1 << 40) == processes
    assert inputs._processes(40 << 20) == 1, "little text is not worth another"


def test_a_machine_without_control_groups_is_used_whole(tmp_path, monkeypatch):
    for name in ("_QUOTA", "_MEMORY"):
        monkeypatch.setattr(machine, name, tmp_path / "none")
    assert 1 <= machine.usable_cpus() <= len(os.sched_getaffinity(0))
    assert machine.usable_memory() > 1 << 28
