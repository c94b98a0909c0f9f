"""A job that reads its text out of a store that speaks S3 and copies its results there, with
credentials out of a Secret. The server runs on the host of the control plane, which pods reach."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.real.example import example
from tests.cluster.real.machine import Machine
from tests.cluster.real.run import Run

PORT = "5599"
SECRET = {"access-key": "the-key", "secret-key": "very-secret"}
CLIENT = """
import boto3, hashlib, json, sys
place = {"endpoint_url": sys.argv[1], "region_name": "us-east-1"}
store = boto3.client("s3", aws_access_key_id="a", aws_secret_access_key="b", **place)
if len(sys.argv) > 2:
    for name in ("corpus", "results"):
        store.create_bucket(Bucket=name)
    store.upload_file(sys.argv[2], "corpus", "text.txt")
found = {}
for item in store.list_objects_v2(Bucket="results").get("Contents", ()):
    content = store.get_object(Bucket="results", Key=item["Key"])["Body"].read()
    found[item["Key"]] = hashlib.sha256(content).hexdigest()
print(json.dumps(found))
"""
pytestmark = [pytest.mark.slow]


class Store:
    """The server, as seen from its own host."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        address = machine.command("exec", "--", "hostname", "-I").split()[0]
        self.url = f"http://{address}:{PORT}"

    def sums(self, *text: str) -> dict[str, str]:
        """sha256 of every object of the bucket `results`; puts a text into `corpus` before."""
        command = ("exec", "--", sys.executable, "-c", CLIENT, self.url, *text)
        found: dict[str, str] = json.loads(self._machine.command(*command))
        return found


@pytest.fixture
def store(machine: Machine) -> Iterator[Store]:
    tool = [str(machine.tool), "--name", machine.kubeconfig.parent.name, "exec", "--"]
    command = [*tool, sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", PORT]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as server:
        try:
            yield Store(machine)
        finally:
            os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture
def job(store: Store) -> Any:
    def secret(name: str, key: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": "s3", "key": key}}}

    found = example()
    found["spec"]["workers"]["replicas"] = 0
    found["spec"]["data"]["train"] = ["s3://corpus/text.txt"]
    found["spec"]["output"]["copyTo"] = "s3://results/team/two-workers"
    found["spec"]["pods"]["env"] = [
        secret("AWS_ACCESS_KEY_ID", "access-key"),
        secret("AWS_SECRET_ACCESS_KEY", "secret-key"),
        {"name": "AWS_ENDPOINT_URL", "value": store.url},
        {"name": "AWS_DEFAULT_REGION", "value": "us-east-1"},
    ]
    return found


def test_text_comes_out_of_a_store_and_results_go_there(machine, site, store, job, tmp_path):
    text = tmp_path / "text.txt"
    words = ("a", "hacker", "is", "someone", "who", "enjoys", "words")
    text.write_text("\n\n".join(" ".join(words[n % 7 :] + words[: n % 5]) for n in range(3000)))
    filled(store, str(text))
    site.api.create("secrets", site.namespace, {"metadata": {"name": "s3"}, "stringData": SECRET})
    run = Run(machine, site, job)
    run.apply()
    run.wait_until_complete(240)
    found = store.sums()
    prefix = "team/two-workers/"
    names = {key.removeprefix(prefix) for key in found}
    assert {"manifest.json", "run.json", "model/model.safetensors", "evaluation.json"} < names
    for name in names - {"manifest.json", "run.json"}:
        local = hashlib.sha256((run.output / name).read_bytes()).hexdigest()
        assert found[prefix + name] == local, name
    kinds = ("configmaps", "pods", "events", "lmtrainingjobs")
    told = json.dumps([site.api.list(kind, site.namespace) for kind in kinds])
    logs = [run.kubectl("logs", pod["metadata"]["name"]) for pod in run.pods()]
    assert "AWS_SECRET_ACCESS_KEY" in told
    assert not [text for text in (told, *logs) if SECRET["secret-key"] in text]


def test_a_bucket_that_is_not_there_fails_the_job_before_it_prepares(
    machine, site, store, job, tmp_path
):
    text = tmp_path / "text.txt"
    text.write_text("a text\n\n" * 100)
    filled(store, str(text))
    site.api.create("secrets", site.namespace, {"metadata": {"name": "s3"}, "stringData": SECRET})
    job["spec"]["output"]["copyTo"] = "s3://nowhere/two-workers"
    run = Run(machine, site, job)
    run.apply()
    run.wait(lambda: run.holds("Failed"), 90, "failure")
    message = run.condition("Failed")["message"]
    assert "output.copyTo: s3://nowhere/two-workers: there is no such bucket" in message
    assert run.status()["restarts"] == 0
    assert not (run.output / "tokenizer").exists()


def filled(store: Store, text: str) -> None:
    """Once the server answers."""
    for _ in range(60):
        try:
            store.sums(text)
        except AssertionError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError("the store does not answer")
