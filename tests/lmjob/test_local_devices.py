"""A node on this machine sees the GPUs that its pod would have, and none that another node uses."""

import pytest

from lmjob.api.spec import parse_job
from lmjob.core.plan import Facts, plan_job
from lmjob.local.devices import visible_devices


def plan(gpus, workers=2):
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    body = {
        "apiVersion": "lmtraining.dev/v1alpha1",
        "kind": "LMTrainingJob",
        "metadata": {"name": "job"},
        "spec": {
            "workers": {"replicas": workers},
            "pods": {"resources": {"limits": limits}},
            "data": {"train": ["pvc://corpus/*.txt"]},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [{"name": "main", "steps": 1}],
            "output": {"to": "pvc://results/x"},
        },
    }
    return plan_job(parse_job(body), uid="u", facts=Facts())


def seen(found, stage="train", allowed=None):
    stage = found.stage(stage)
    return [visible_devices(found, stage, replica, allowed) for replica in stage.replicas]


def test_a_job_that_asks_for_no_gpu_computes_on_the_cpu():
    assert seen(plan(0)) == ["", "", ""]


def test_nodes_get_different_gpus():
    assert seen(plan(2)) == ["0,1", "2,3", "4,5"]


def test_the_dataset_needs_no_gpu_and_the_evaluation_one():
    assert seen(plan(2), "prepare") == [""]
    assert seen(plan(2), "evaluate") == ["0"]


@pytest.mark.parametrize(
    ("allowed", "expected"), [("3,5,7", ["3", "5", "7"]), ("4", ["4", "", ""]), ("", ["", "", ""])]
)
def test_what_the_user_may_not_use_is_not_used(allowed, expected):
    assert seen(plan(1), allowed=allowed) == expected
