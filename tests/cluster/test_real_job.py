"""`helm install`, `kubectl apply -f two-workers.yaml`: a job in real pods on two nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cluster.real.alone import weights_alone
from tests.cluster.real.run import Run

EXAMPLE = Path(__file__).parents[2] / "manifests/examples/two-workers.yaml"
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def example():
    return yaml.safe_load(EXAMPLE.read_text())


@pytest.fixture(scope="module")
def alone(example, tmp_path_factory):
    """The weights of `lmjob run` of the same file."""
    return weights_alone(example, tmp_path_factory.mktemp("alone"))


@pytest.fixture
def run(machine, site, example):
    return Run(machine, site, example)


def test_the_example_reaches_complete_on_two_nodes_with_the_weights_of_lmjob_run(
    run, alone, tmp_path
):
    run.apply()
    nodes, rows = set(), set()

    def complete():
        group = [p for p in run.pods() if p["spec"].get("nodeName")]
        nodes.update(
            p["spec"]["nodeName"]
            for p in group
            if p["metadata"]["labels"]["lmtraining.dev/role"] in ("master", "worker")
        )
        rows.add(run.kubectl("get", "lmj", run.name, "--no-headers"))
        return run.holds("Complete")

    run.wait(complete, 120, "completion")
    run.wait_until_complete(5)
    assert run.weights() == alone
    assert len(nodes) == 2, "the group was spread over both nodes"
    shown = [row.split() for row in rows]
    assert {"Running", "Finished"} <= {row[1] for row in shown}
    training = [row for row in shown if row[2] == "train" and "main" in row]
    assert any(int(row[4]) > 0 and 0 < float(row[5]) < 20 for row in training), sorted(rows)
    last = run.kubectl("get", "lmj", run.name, "--no-headers").split()
    assert last[1] == "Finished"
    assert last[3:5] == ["main", "30"], "where training ended stays to be seen"
