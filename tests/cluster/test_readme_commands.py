"""The README's commands for a cluster do what it says, as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
pytestmark = [pytest.mark.slow]


@pytest.fixture
def shell(machine, site, tmp_path):
    """Runs a line with the namespace of the test as the default one, from the root."""
    config = yaml.safe_load(machine.kubeconfig.read_text())
    for context in config["contexts"]:
        context["context"]["namespace"] = site.namespace
    own = tmp_path / "kubeconfig"
    own.write_text(yaml.safe_dump(config))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "KUBECONFIG": str(own), "PATH": path}

    def run(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, env=env, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_the_commands_take_a_reader_from_the_chart_to_the_model(shell, site, tmp_path):
    copied = tmp_path / "model"
    told = {}
    for command in COMMANDS:
        if command.startswith("docker build"):
            continue  # CI builds the same files under the same names, see tests/contract
        if command.startswith("helm install"):  # the operator of these tests is there already
            command = command.replace("helm install", "helm template")
        told[command] = shell(command.replace(" ./model", f" {copied}"))
    assert (copied / "model.safetensors").read_bytes() == (
        site.results / "two-workers/model/model.safetensors"
    ).read_bytes()
    left = "kubectl get lmj,pods,configmaps,services -o name"
    site.api.wait(lambda: shell(left).split() == ["configmap/kube-root-ca.crt"], what="all gone")
    assert any("condition met" in text for text in told.values())
