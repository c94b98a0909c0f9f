"""A job that runs a program of the user's own: its specification, plan and pods."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lmjob.api.spec import CommandSpec, JobSpec, parse_job
from lmjob.cli.plan import describe
from lmjob.core.decide import Claim, decide
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed
from lmjob.core.plan import Facts, JobPlan, plan_hash, plan_job
from lmjob.core.plan.places import local_paths
from lmjob.render import config_map, pod
from lmjob.render.volumes import claim_mounts
from lmtrainer.config import CommandConfig, MistakesError, config_hash, document, parse
from tests.lmjob.bodies import GOOD, changed

BODY: dict[str, Any] = {
    "apiVersion": "lmtraining.dev/v1alpha1",
    "kind": "LMTrainingJob",
    "metadata": {"name": "own"},
    "spec": {
        "image": "example.org/mine:1",
        "command": ["python", "train.py", "--data=pvc://corpus/wiki", "$(HOME); `id` && rm *"],
        "workers": {"replicas": 2},
        "pods": {
            "resources": {"limits": {"nvidia.com/gpu": 2}},
            "env": [{"name": "A", "value": "$(B)"}],
        },
        "output": {"to": "pvc://results/own"},
    },
}


def mistakes(changes: dict[str, Any], base: dict[str, Any] = BODY) -> list[str]:
    with pytest.raises(MistakesError) as found:
        parse_job(changed(changes, base))
    return str(found.value).splitlines()


def planned(changes: dict[str, Any] | None = None) -> JobPlan:
    job = parse_job(changed(changes or {}, BODY))
    return plan_job(job, uid="uid-1", facts=Facts(default_image="example.org/lmtrainer:1"))


def test_a_specification_is_of_one_kind_or_the_other() -> None:
    assert isinstance(parse_job(BODY).spec, CommandSpec)
    assert isinstance(parse_job(GOOD).spec, JobSpec)


@pytest.mark.parametrize(
    "field", ["data", "model", "phases", "seed", "tokenizer", "checkpoint", "prepare", "evaluate"]
)
def test_what_a_command_does_not_read_is_refused_with_the_reason(field: str) -> None:
    value = GOOD["spec"].get(field, {})
    (line,) = mistakes({f"spec.{field}": value})
    assert line.startswith(f"spec.{field}: cannot be set; spec.command runs a program of your own")


def test_without_command_the_fields_of_a_training_are_missing_as_before() -> None:
    found = mistakes({"spec": {"output": {"to": "pvc://results/x"}}})
    fields = [line.partition(":")[0] for line in found]
    assert fields == ["spec.data", "spec.model", "spec.phases"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"spec.command": []}, "spec.command: needs at least 1 item (got an empty list)"),
        ({"spec.command": "python train.py"}, "spec.command: must be a list"),
        ({"spec.command": [""]}, 'spec.command[0]: is empty (got ""); name a program'),
        ({"spec.command": ["python", 3]}, "spec.command[1]: must be a string"),
        ({"spec.command": ["python", "a\0b"]}, "spec.command[1]: must not hold control characters"),
        (
            {"spec.command": ["/usr/bin/torchrun", "train.py"]},
            "spec.command[0]: starts a group of its own; the launcher does that",
        ),
        (
            {"spec.command": ["python", "pvc://corpus/../x"]},
            'spec.command[1]: must stay inside the volume (got "pvc://corpus/../x")',
        ),
        ({"spec.command": ["python", "--x=pvc://"]}, "spec.command[1]: is not pvc://CLAIM/PATH"),
        ({"spec.args": ["--lr"]}, "spec.args: cannot be set; write them in spec.command"),
        ({"spec.pods.command": ["x"]}, "spec.pods.command: cannot be set; every pod runs the"),
        ({"spec.pods.env": [{"name": "LMJOB_OUTPUT", "value": "/"}]}, "spec.pods.env[0].name"),
        ({"spec.output.to": "pvc://results"}, "spec.output.to: is the whole claim"),
        (
            {"spec.output.copyTo": "s3://results"},
            "spec.output.copyTo: is not s3://BUCKET/FOLDER, of letters, digits",
        ),
        ({"spec.processesPerNode": 3}, "spec.processesPerNode: is more than the 2 GPUs"),
    ],
)
def test_mistakes_name_the_argument(changes: dict[str, Any], line: str) -> None:
    (found,) = mistakes(changes)
    assert found.startswith(line)


def test_the_plan_is_one_stage_of_the_whole_group() -> None:
    plan = planned()
    (stage,) = plan.stages
    assert (stage.name, stage.world_size, stage.target) == ("train", 6, None)
    assert [str(replica.key) for replica in stage.replicas] == ["master-0", "worker-0", "worker-1"]
    assert set(plan.pods) == {"master", "worker"}
    assert isinstance(plan.run, CommandConfig)
    assert plan.run.threads_per_process == 1, "nothing is left to be chosen"


def test_the_plan_reads_back_equal() -> None:
    plan = planned()
    read = parse(JobPlan, json.loads(json.dumps(document(plan))))
    assert read == plan
    assert read.plan_hash == plan_hash(read)


def test_the_first_attempt_begins_with_the_only_stage() -> None:
    decision = decide(planned(), Memory(), Observed(), 1000.0)
    assert isinstance(decision, Claim)
    assert (decision.memory.stage, decision.memory.attempt) == ("train", 1)


def test_another_command_may_go_on_in_a_folder_and_a_training_may_not() -> None:
    other = planned({"spec.command": ["python", "train.py", "--more"]})
    assert config_hash(planned().run) == config_hash(other.run)
    training = plan_job(parse_job(GOOD), uid="u", facts=Facts())
    assert config_hash(planned().run) != config_hash(training.run)


def test_what_is_shown_names_the_command_and_the_claims() -> None:
    text = "\n".join(describe(planned({"spec.output.copyTo": "s3://results/mine"})))
    assert "s3://results/mine" in text
    assert "python train.py --data=pvc://corpus/wiki '$(HOME); `id` && rm *'" in text
    assert "corpus (read), results (written)" in text
    assert "phase" not in text


def test_no_word_of_the_command_is_in_the_pod() -> None:
    plan = planned()
    for replica in plan.stages[0].replicas:
        made = pod(plan, "train", replica, 1, master_ip="10.0.0.1")
        (container,) = made["spec"]["containers"]
        assert container["command"] == ["lmtrainer"]
        assert container["args"][:3] == ["launch", "--stage", "train"]
        assert "train.py" not in json.dumps(made)
        env = {variable["name"]: variable["value"] for variable in container["env"]}
        assert env["A"] == "$$(B)", "Kubernetes would replace it otherwise"
        assert container["image"] == "example.org/mine:1"


def test_the_configuration_that_the_launcher_reads_holds_the_command_as_it_is() -> None:
    data = config_map(planned())["data"]
    found = json.loads(data["config.json"])
    assert found["command"] == BODY["spec"]["command"]
    assert parse(CommandConfig, found) == planned().run


def test_every_node_may_write_to_the_output_and_to_nothing_else() -> None:
    plan = planned()
    for replica in plan.stage("train").replicas[:2]:
        mounts = {mount.claim: mount for mount in claim_mounts(plan, replica)}
        assert {name: mount.mount_read_only for name, mount in mounts.items()} == {
            "corpus": True,
            "results": False,
        }


def test_a_path_of_one_machine_is_a_mistake_in_a_cluster_as_output_only() -> None:
    plan = planned({"spec.output.to": "results/own", "spec.command": ["/bin/true", "/etc/x"]})
    (found,) = local_paths(plan.run)
    assert found.field == "spec.output.to"
