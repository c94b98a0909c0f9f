"""The runner's own state: whole or absent, and one runner at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lmjob.core.memory import Memory
from lmjob.core.plan.shapes import JobIdentity
from lmjob.local.job import open_job
from lmjob.local.store import StateError, Stored, locked, read, state_folder, write

SPEC = {"phases": [{"steps": 1, "learningRate": 1e-4}], "suspend": False}


@pytest.fixture
def output(tmp_path):
    state_folder(tmp_path).mkdir()
    return tmp_path


def test_what_was_stored_reads_back_equal(output, plan_of):
    stored = Stored(plan=plan_of(), memory=Memory(attempt=2), status={"a": [1, None]}, spec=SPEC)
    write(output, stored)
    found = read(output)
    assert (found.plan, found.memory) == (stored.plan, stored.memory)
    assert found.spec == SPEC
    assert read(output / "elsewhere") is None


def test_a_half_written_state_is_never_read(output, plan_of):
    write(output, Stored(plan=plan_of(), memory=Memory(attempt=1)))
    (state_folder(output) / "job.json.tmp").write_text('{"half')
    assert read(output).memory.attempt == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1, "plan": 3}'])
def test_a_damaged_state_is_refused(output, text):
    (state_folder(output) / "job.json").write_text(text)
    with pytest.raises(StateError, match="damaged"):
        read(output)


def test_a_newer_state_is_refused(output):
    (state_folder(output) / "job.json").write_text('{"version": 2}')
    with pytest.raises(StateError, match="newer lmjob"):
        read(output)


def test_the_lock_dies_with_its_holder(output):
    script = (
        "import sys, time; from pathlib import Path; from lmjob.local.store import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        words = rf"process {holder.pid}\).*kill -INT {holder.pid}"
        with pytest.raises(StateError, match=words), locked(output):
            pass
        holder.kill()
    with locked(output):
        assert (state_folder(output) / "lock").read_text() == str(os.getpid())


def reopened(output, plan, spec):
    return open_job(output, plan, spec).plan.job.uid


def other(plan_of, **changes):
    """The same job planned again: another uid, perhaps by a newer version of the software."""
    identity = JobIdentity(name="job", namespace="default", uid="another")
    return plan_of(job=identity, **{"plan_hash": "f00d", **changes})


def test_the_same_spec_goes_on_with_the_plan_that_was_frozen(output, plan_of):
    uid = reopened(output, plan_of(), SPEC)
    newer = other(plan_of, image="a newer default", max_restarts=9)
    assert reopened(output, newer, SPEC) == uid
    assert reopened(output, newer, {**SPEC, "suspend": True}) == uid
    assert read(output).plan == plan_of()


def test_the_same_spec_in_other_words_goes_on_too(output, plan_of):
    uid = reopened(output, plan_of(), SPEC)
    assert reopened(output, other(plan_of), {**SPEC, "seed": 42}) == uid


def test_another_spec_is_another_job(output, plan_of):
    reopened(output, plan_of(), SPEC)
    changed = other(plan_of, max_restarts=9)
    assert reopened(output, changed, {**SPEC, "seed": 43}) == "another"
    assert read(output).memory == Memory()


@pytest.mark.parametrize(
    ("outcome", "kept"), [("suspended", True), ("complete", True), ("failed", False)]
)
def test_a_failed_job_is_begun_again_and_no_other(output, plan_of, outcome, kept):
    uid = reopened(output, plan_of(), SPEC)
    stored = read(output)
    write(output, Stored(plan=stored.plan, spec=SPEC, memory=Memory(attempt=3, outcome=outcome)))
    assert (reopened(output, other(plan_of), SPEC) == uid) == kept


def test_a_job_file_is_json_for_people(output, plan_of):
    write(output, Stored(plan=plan_of()))
    text = (state_folder(output) / "job.json").read_text()
    assert json.loads(text)["plan"]["job"]["name"] == "job"
    assert text.count("\n") > 20
