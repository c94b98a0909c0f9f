"""A job in the cluster, as its user and as a judge see it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmjob.api.names import PLURAL
from tests.cluster.real.machine import Machine
from tests.cluster.real.site import Site


@dataclass(frozen=True)
class Run:
    """A job that was applied."""

    machine: Machine
    site: Site
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def output(self) -> Path:
        """The folder of `pvc://results/...`, on this machine."""
        return self.site.results / str(self.document["spec"]["output"]["to"]).split("/", 3)[3]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.machine.kubectl("-n", self.site.namespace, *arguments, stdin=stdin)

    def apply(self) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(self.document))

    def body(self) -> Any:
        return self.site.api.get(PLURAL, self.site.namespace, self.name) or {}

    def status(self) -> Any:
        return self.body().get("status") or {}

    def condition(self, kind: str) -> Any:
        found = self.status().get("conditions") or ()
        return next((c for c in found if c["type"] == kind), {})

    def holds(self, kind: str) -> bool:
        return bool(self.condition(kind).get("status") == "True")

    def pods(self) -> list[Any]:
        labels = f"lmtraining.dev/job-name={self.name}"
        found: list[Any] = self.site.api.list("pods", self.site.namespace, labels=labels)
        return found

    def pod(self, role: str, index: int = 0) -> Any:
        """Of the newest attempt."""
        wanted = {"lmtraining.dev/role": role, "lmtraining.dev/index": str(index)}
        found = [p for p in self.pods() if wanted.items() <= p["metadata"]["labels"].items()]
        return max(found, key=lambda p: int(p["metadata"]["labels"]["lmtraining.dev/attempt"]))

    def wait_until_complete(self, seconds: float) -> None:
        """As users do. AssertionError with what the job says if it is not, in time."""
        bound = f"--timeout={seconds:g}s"
        try:
            self.kubectl("wait", f"lmj/{self.name}", "--for=condition=Complete", bound)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def wait_for_step(self, step: int, seconds: float = 120) -> None:
        self.wait(lambda: self.steps() >= step, seconds, f"step {step}")

    def wait(self, ask: Callable[[], object], seconds: float, what: str) -> float:
        """Until it holds; how long it took."""
        began = time.monotonic()
        while not ask():
            if time.monotonic() > began + seconds or (what != "failure" and self.holds("Failed")):
                pytest.fail(f"no {what} within {seconds:g} s\n{self.story()}")
            time.sleep(0.1)
        return time.monotonic() - began

    def steps(self) -> int:
        """Steps that metrics.jsonl knows of."""
        return len(self.losses())

    def losses(self) -> list[tuple[int, float]]:
        """(step, loss) in the order of the file."""
        path = self.output / "metrics.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().rpartition("\n")[0].splitlines()
        rows = [json.loads(line) for line in lines]
        return [(row["step"], row["loss"]) for row in rows if "loss" in row]

    def weights(self) -> str:
        return weights(self.output)

    def story(self) -> str:
        """Everything that helps to see why a test failed."""
        status = {k: v for k, v in self.status().items() if k != "memory"}
        parts = [yaml.safe_dump(status), self.kubectl("get", "pods", "-o", "wide")]
        for pod in self.pods():
            name = pod["metadata"]["name"]
            log = self.machine.kubectl(
                *("-n", self.site.namespace, "logs", name, "--tail=15", "--timestamps"),
                *("--request-timeout=5s",),
                check=False,
            )
            parts += [f"--- {name}", log]
        return "\n".join(parts)


def weights(output: Path) -> str:
    """sha256 of the trained weights of an output folder."""
    return hashlib.sha256((output / "model/model.safetensors").read_bytes()).hexdigest()
