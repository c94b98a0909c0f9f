"""The same job file, run by `lmjob run` on this machine: what runs in the cluster must equal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.real.run import weights


def weights_alone(document: dict[str, Any], folder: Path) -> str:
    """sha256 of the weights; about half a minute."""
    (folder / "results").mkdir(parents=True)
    (folder / "job.yaml").write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "lmjob", "run", "job.yaml", "--mount", "results=results"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return weights(folder / str(document["spec"]["output"]["to"]).removeprefix("pvc://"))
