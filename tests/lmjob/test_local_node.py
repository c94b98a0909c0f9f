"""Processes of a node: recognised, ended with all that they left behind, and never confused."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmjob.core.plan.shapes import ReplicaKey
from lmjob.local import procs
from lmjob.local.node import Node
from lmjob.local.nodefiles import node_name
from lmtrainer.contract.environment import NODE_DIR

KEY = ReplicaKey("worker", 1)
SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
DEAF = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(60)",
)
ORPHANS = (
    sys.executable,
    "-c",
    "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)",
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / node_name(2, KEY)
    yield path
    for process in procs.of_node(path):
        procs.send(process, signal.SIGKILL)


def start(folder: Path, argv: tuple[str, ...]) -> Node:
    env = {**os.environ, NODE_DIR: str(folder)}
    return Node.start(folder, argv, env, "{}", time.time())


def look_until(node: Node, state: str, seconds: float = 10) -> None:
    deadline = time.time() + seconds
    while node.look(time.time()).state != state:
        assert time.time() < deadline, node.look(time.time())
        time.sleep(0.02)


def wait_for_log(folder: Path, word: str) -> None:
    deadline = time.time() + 10
    while word not in (folder / "log.txt").read_text():
        assert time.time() < deadline
        time.sleep(0.02)


def test_a_node_is_asked_to_end_and_tells_the_signal(folder):
    node = start(folder, SLEEP)
    assert node.look(time.time()).state == "starting"
    node.ask_to_end(time.time() + 30)
    look_until(node, "failed")
    seen = node.look(time.time())
    assert (str(seen.key), seen.attempt, seen.exit_code) == ("worker-1", 2, -15)
    assert seen.reason == "killed by signal 15"
    assert not seen.disrupted


def test_a_node_that_will_not_end_is_killed_when_its_time_is_over(folder):
    node = start(folder, DEAF)
    wait_for_log(folder, "deaf")
    node.ask_to_end(time.time() + 0.5)
    assert node.look(time.time()).state == "terminating"
    look_until(node, "failed")
    assert node.look(time.time()).exit_code == -9


def test_a_node_has_not_ended_before_its_orphans_have(folder):
    node = start(folder, ORPHANS)
    deadline = time.time() + 10
    while node._launcher.poll() is None:
        assert time.time() < deadline
    assert procs.of_node(folder)
    assert node.look(time.time()).live
    look_until(node, "succeeded")
    assert procs.of_node(folder) == ()


def test_a_node_of_a_dead_runner_is_found_ended_and_charged_to_nobody(folder):
    first = start(folder, SLEEP)
    found = Node.find(folder)
    assert found.uid == first.uid
    os.kill(first._launcher.pid, signal.SIGSTOP)  # it obeys when it goes on
    found.ask_to_end(time.time() + 30)
    assert found.look(time.time()).state == "terminating"
    os.kill(first._launcher.pid, signal.SIGCONT)
    first._launcher.wait()
    look_until(found, "failed")
    seen = found.look(time.time())
    assert (seen.exit_code, seen.disrupted) == (None, True)
    assert seen.reason == "its runner ended before it"


def test_an_end_that_the_runner_saw_is_no_disruption(folder):
    look_until(start(folder, (sys.executable, "-c", "raise SystemExit(70)")), "failed")
    seen = Node.find(folder).look(time.time())
    assert (seen.state, seen.exit_code, seen.disrupted) == ("failed", 70, False)


@pytest.mark.parametrize("text", ['{"uid": "intended", "createdAt": 1.0}', "", '{"uid": 3}'])
def test_a_start_that_nobody_saw_the_end_of_is_a_failed_node(folder, text):
    """The runner was killed between its intention and the process; or the power was cut."""
    first = start(folder, SLEEP)
    first.kill()
    first._launcher.wait()
    record = folder / "record.json"
    record.write_text(text)
    node = Node.find(folder)
    node.ask_to_end(time.time() + 30)
    look_until(node, "failed")
    assert node.look(time.time()).disrupted


def test_a_recycled_pid_is_never_signalled():
    process = subprocess.Popen(["sleep", "60"])
    try:
        other = dataclasses.replace(procs.identify(process.pid), start=1)
        assert not procs.send(other, signal.SIGKILL)
        rebooted = dataclasses.replace(procs.identify(process.pid), boot="another")
        assert not procs.send(rebooted, signal.SIGKILL)
        time.sleep(0.1)
        assert process.poll() is None
        assert procs.send(procs.identify(process.pid), signal.SIGKILL)
        assert process.wait() == -9
    finally:
        process.kill()
        process.wait()


def test_the_remains_of_a_process_are_no_process():
    process = subprocess.Popen(["true"])
    deadline = time.time() + 10
    while procs.identify(process.pid) is not None:
        assert time.time() < deadline
    process.wait()


def test_a_name_with_brackets_hides_no_process(tmp_path):
    program = tmp_path / "a) b (c"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "60"])
    try:
        deadline = time.time() + 10
        while ") b (" not in Path(f"/proc/{process.pid}/comm").read_text():
            assert time.time() < deadline
        assert procs.identify(process.pid).start > 0
    finally:
        process.kill()
        process.wait()


def test_nodes_of_another_folder_are_left_alone(folder, tmp_path):
    other = tmp_path / node_name(20, KEY)
    node = start(other, SLEEP)
    try:
        assert procs.of_node(folder) == ()
        procs.end_all(folder, 0.0)
        assert node.look(time.time()).state == "starting"
        procs.end_all(other, 5.0)
        look_until(node, "failed")
    finally:
        node.kill()
        look_until(node, "failed")
