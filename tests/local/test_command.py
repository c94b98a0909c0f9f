"""A program of the user's own through `lmjob run`: the whole group starts again, and it resumes."""

from __future__ import annotations

import json
import sys

import boto3
import pytest

from tests.local.jobs import Job
from tests.rows.sinks.objectstore import BUCKET, ENVIRONMENT, serving

pytestmark = pytest.mark.slow

PROGRAM = """
import json, os, pathlib, signal, sys, time

out, attempt, rank = (os.environ[n] for n in ("LMJOB_OUTPUT", "LMJOB_ATTEMPT", "RANK"))
with open(f"{out}/starts.txt", "a") as file:
    print(attempt, rank, file=file)
while f"{attempt} 1" not in pathlib.Path(out, "starts.txt").read_text():
    time.sleep(0.05)  # a group works as a whole
saved = pathlib.Path(out, "step")
first = int(saved.read_text()) if saved.exists() else 0
for step in range(first + 1, 7):
    time.sleep(0.2)
    if rank == "1":
        continue
    with open(os.environ["LMJOB_PROGRESS"], "a") as file:
        print(json.dumps({"step": step, "total": 6, "loss": 1 / step}), file=file)
        if step % 2 == 0:
            saved.write_text(str(step))
            print(json.dumps({"checkpoint": step}), file=file)
    if attempt == "1" and step == 5:
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_program_starts_again_with_its_group(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    (tmp_path / "results").mkdir()
    spec = {
        "command": [sys.executable, str(program)],
        "threadsPerProcess": 1,
        "workers": {"replicas": 1},
        "failurePolicy": {"maxRestarts": 0},
        "output": {"to": "pvc://results/small"},
    }
    job = Job(tmp_path, spec)
    text = job.run(claims=("results",))
    assert "rank 0 was killed by signal 9" in text
    assert "/6 steps, command, loss" in text
    starts = sorted((job.output / "starts.txt").read_text().split("\n")[:-1])
    assert starts == ["1 0", "1 1", "2 0", "2 1"]
    assert (job.output / "step").read_text() == "6"
    memory = job.state()["memory"]
    assert memory["outcome"] == "complete"
    assert memory["restarts"] == 0, "it had made a new checkpoint"
    assert memory["durable"]["step"] >= 4, "what was told is known"
    assert json.loads((job.output / "records/train.json").read_text())["attempt"] == 2
    assert "was done before" in job.run(claims=("results",))


def test_its_results_are_copied_to_a_store(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import os; open(os.environ['LMJOB_OUTPUT'] + '/answer', 'w').write('42')")
    (tmp_path / "results").mkdir()
    spec = {
        "command": [sys.executable, str(program)],
        "threadsPerProcess": 1,
        "output": {"to": "pvc://results/small", "copyTo": f"s3://{BUCKET}/mine"},
    }
    with serving() as server:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        store = boto3.client("s3")
        store.create_bucket(Bucket=BUCKET)
        text = Job(tmp_path, spec).run(claims=("results",))
        found = store.list_objects_v2(Bucket=BUCKET)["Contents"]
        assert store.get_object(Bucket=BUCKET, Key="mine/answer")["Body"].read() == b"42"
        for item in found:
            store.delete_object(Bucket=BUCKET, Key=item["Key"])
        store.delete_bucket(Bucket=BUCKET)
    assert "copied to        s3://results/mine" in text
    names = ["answer", "configuration.json", "manifest.json", "run.json"]
    assert [item["Key"] for item in found] == [f"mine/{name}" for name in names]
