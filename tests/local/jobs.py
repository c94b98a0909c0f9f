"""A small real job: `lmjob run` as a user starts it, on a piece of the Jargon File."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

DOCUMENTS = 150
STEPS = 240
EVERY = 40
CLAIMS = ("corpus", "results")

JOB = {
    "apiVersion": "lmtraining.dev/v1alpha1",
    "kind": "LMTrainingJob",
    "metadata": {"name": "small"},
    "spec": {
        "workers": {"replicas": 2},
        "threadsPerProcess": 1,
        "data": {"train": ["pvc://corpus/*.txt"]},
        "tokenizer": {"train": {"vocabSize": 600}},
        "model": {
            "type": "bert",
            "preset": "tiny",
            "config": {"layers": 2, "hiddenSize": 32, "heads": 2, "maxPositions": 64},
        },
        "phases": [
            {
                "name": "main",
                "steps": STEPS,
                "sequenceLength": 32,
                "globalBatchSize": 12,
                "learningRate": 1e-3,
            }
        ],
        "evaluate": {"fill": ["A hacker is a [MASK]."]},
        "checkpoint": {"everySteps": EVERY},
        "terminationGracePeriodSeconds": 20,
        "output": {"to": "pvc://results/small"},
    },
}


@dataclass
class Job:
    """A job of a test in a folder of its own."""

    folder: Path
    spec: dict = field(default_factory=lambda: json.loads(json.dumps(JOB["spec"])))

    @property
    def output(self) -> Path:
        return self.folder / "results" / "small"

    @property
    def file(self) -> Path:
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump({**JOB, "spec": self.spec}))
        return path

    def start(self, *arguments: str, claims: tuple[str, ...] = CLAIMS) -> subprocess.Popen:
        command = [sys.executable, "-m", "lmjob", "run", str(self.file), *arguments]
        for claim in claims:
            command += ["--mount", f"{claim}={self.folder / claim}"]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def run(self, *arguments: str, code: int = 0, claims: tuple[str, ...] = CLAIMS) -> str:
        process = self.start(*arguments, claims=claims)
        text, _ = process.communicate(timeout=240)
        assert process.returncode == code, f"exit {process.returncode}\n{text}\n{self.logs()}"
        return text

    def state(self) -> dict:
        return json.loads((self.output / ".lmjob/job.json").read_text())

    def steps(self) -> int:
        """Steps that metrics.jsonl knows of."""
        path = self.output / "metrics.jsonl"
        return path.read_text().count('"loss"') if path.exists() else 0

    def wait_for_step(self, step: int, process: subprocess.Popen, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while self.steps() < step:
            assert process.poll() is None, process.communicate()[0] + self.logs()
            assert time.monotonic() < deadline, f"step {self.steps()} after {seconds} s"
            time.sleep(0.01)

    def pid(self, node: str) -> int:
        """Of the launcher of the newest attempt of a node, such as worker-0."""
        records = sorted(self.output.glob(f".lmjob/*-{node}/record.json"))
        return json.loads(records[-1].read_text())["process"]["pid"]

    def weights(self) -> str:
        """sha256 of the trained weights."""
        return hashlib.sha256((self.output / "model/model.safetensors").read_bytes()).hexdigest()

    def logs(self) -> str:
        parts = []
        for path in sorted(self.output.glob(".lmjob/*/log.txt")):
            parts.append(f"--- {path.parent.name}\n{path.read_text()[-2000:]}")
        return "\n".join(parts)


class Attempts(threading.Thread):
    """Watches which attempts of a job have live processes, from outside."""

    def __init__(self, output: Path) -> None:
        super().__init__(daemon=True)
        self._needle = f"LMTRAINER_NODE_DIR={output}/.lmjob/".encode()
        self._over = threading.Event()
        self.seen: list[frozenset[int]] = []

    def run(self) -> None:
        while not self._over.wait(0.02):
            self.seen.append(frozenset(self._live()))

    def _live(self):
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                env = path.read_bytes()
                state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            place = env.find(self._needle)
            if place >= 0 and state != "Z":
                name = env[place + len(self._needle) :].split(b"\0")[0].decode()
                yield int(name.split("-")[0])

    def stop(self) -> list[frozenset[int]]:
        self._over.set()
        self.join()
        return self.seen


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
